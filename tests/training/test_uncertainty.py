"""What held-out errors say of how far off predictions are."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.entities import RatingScale
from app.training.fit import fit
from app.training.measure import measure
from app.training.recipe import rating_recipe
from app.training.sides import join
from app.training.uncertainty import ENOUGH_PAIRS, HoldoutUncertainty
from app.training.validation_split import ValidationSplit

N_USERS, N_ITEMS = 600, 400


def drawn(noises: NDArray[np.floating], seed: int = 0, unit: float = 1.0) -> tuple[ValidationSplit, RatingMatrix]:
    """Users and items of biases 1, from hardly to very well known, and users of these noises; an exam, and more."""
    rng = np.random.default_rng(seed)
    chance = np.outer(np.geomspace(0.01, 0.6, N_USERS), rng.permutation(np.geomspace(0.02, 1, N_ITEMS)))
    values = 10 + rng.normal(size=(N_USERS, 1)) + rng.normal(size=N_ITEMS)
    values += rng.normal(size=values.shape) * rng.permutation(noises)[:, None]
    is_told, is_asked = rng.random(values.shape) < chance, rng.random(values.shape) < 0.05
    users, items = np.divmod(np.arange(values.size), N_ITEMS)
    everything = RatingMatrix(N_USERS, N_ITEMS, users, items, unit * values.ravel())
    train, holdout, others = (
        everything.subset(cells.ravel()) for cells in (is_told, is_asked & ~is_told, ~is_asked & ~is_told)
    )
    return ValidationSplit.draw(train, holdout, RatingScale(0, 20 * unit), rng), others


def learned_from(split: ValidationSplit) -> RatingVectors:
    vectors = fit(rating_recipe("biases"), split.train, np.random.default_rng(0)).rating
    assert vectors is not None
    return vectors


def test_met_where_counts_decide() -> None:
    """The mean squared error of fresh pairs, from new to well known on each side, is what was said."""
    split, others = drawn(np.full(N_USERS, 0.7))
    vectors = learned_from(split)
    spread = HoldoutUncertainty.from_holdout(vectors, split).around(vectors, split.train)
    variances = spread.standard_deviation(others.user_rows, others.item_rows).astype(np.float64) ** 2
    squares = (others.values - vectors.predict(others.user_rows, others.item_rows)) ** 2
    for counts in (split.train.user_counts[others.user_rows], split.train.item_counts[others.item_rows]):
        for is_among in (counts < 2, (counts >= 2) & (counts < 10), (counts >= 10) & (counts < 50), counts >= 50):
            assert variances[is_among].mean() == pytest.approx(squares[is_among].mean(), rel=0.2)
    assert spread.of_users.standard_deviation(0.0, 0) ** 2 == pytest.approx(1 + 0.7**2, rel=0.25)
    assert spread.of_users.standard_deviation(0.7, 10_000) == pytest.approx(0.7, rel=0.15)
    assert spread.new_item == pytest.approx(1.0, rel=0.2)


def test_met_where_users_differ() -> None:
    noises = np.where(np.arange(N_USERS) % 2, 0.3, 1.2)
    split, _ = drawn(noises)
    vectors = learned_from(split)
    spread = HoldoutUncertainty.from_holdout(vectors, split)
    assert spread.of_users.standard_deviation(0.3, 1000) == pytest.approx(0.3, rel=0.25)
    assert spread.of_users.standard_deviation(1.2, 1000) == pytest.approx(1.2, rel=0.25)


def test_mean_is_that_of_holdout() -> None:
    split, _ = drawn(np.full(N_USERS, 0.7))
    vectors, held = learned_from(split), split.holdout
    deviations = HoldoutUncertainty.from_holdout(vectors, split).around(vectors, split.train)
    variances = deviations.standard_deviation(held.user_rows, held.item_rows).astype(np.float64) ** 2
    assert variances.mean() == pytest.approx(np.mean(split.errors(vectors) ** 2), rel=1e-5)


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_follows_the_scale(unit: float) -> None:
    one, other = (
        HoldoutUncertainty.from_holdout(learned_from(split), split)
        for split in (drawn(np.full(N_USERS, 0.7), unit=each)[0] for each in (1.0, unit))
    )
    assert other.of_users.standard_deviation(0.7 * unit, 5) == pytest.approx(
        unit * one.of_users.standard_deviation(0.7, 5), rel=0.01
    )
    assert other.new_item == pytest.approx(unit * one.new_item, rel=0.01)


def test_same_again() -> None:
    split, _ = drawn(np.full(N_USERS, 0.7))
    vectors = learned_from(split)
    assert HoldoutUncertainty.from_holdout(vectors, split) == HoldoutUncertainty.from_holdout(vectors, split)


def test_few_pairs_are_all_alike() -> None:
    split, _ = drawn(np.full(N_USERS, 0.7))
    few = ValidationSplit(split.train, split.holdout.subset(np.arange(ENOUGH_PAIRS - 1)), split.scale, split.user_rows)
    vectors = learned_from(few)
    spread = HoldoutUncertainty.from_holdout(vectors, few).around(vectors, few.train)
    error = np.sqrt(np.mean(few.errors(vectors) ** 2))
    np.testing.assert_allclose(spread.user_std, error, rtol=1e-6)
    assert not spread.item_std.any()


def test_without_any_error() -> None:
    split, _ = drawn(np.full(N_USERS, 0.7))
    vectors = learned_from(split)
    held = split.holdout
    foretold = vectors.predict(held.user_rows, held.item_rows)
    exact = RatingMatrix(N_USERS, N_ITEMS, held.user_rows, held.item_rows, foretold)
    spread = HoldoutUncertainty.from_holdout(vectors, ValidationSplit(split.train, exact, split.scale, split.user_rows))
    assert spread.of_users.standard_deviation(0.0, 0) == 0


def test_large_holdout_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    split, _ = drawn(np.full(N_USERS, 0.7))
    vectors = learned_from(split)
    whole = HoldoutUncertainty.from_holdout(vectors, split)
    monkeypatch.setattr("app.training.uncertainty.MAX_PAIRS", len(split.holdout) // 2)
    half = HoldoutUncertainty.from_holdout(vectors, split)
    assert half != whole
    assert half.of_users.standard_deviation(0.7, 5) == pytest.approx(whole.of_users.standard_deviation(0.7, 5), rel=0.1)


@pytest.mark.parametrize(("algorithm", "is_learned"), [("funk_svd", True), ("als", True), ("bayesian_mf", False)])
def test_learned_where_none_is_told(algorithm: str, *, is_learned: bool) -> None:
    split, _ = drawn(np.full(N_USERS, 0.7))
    learned = fit(rating_recipe(algorithm), split.train, np.random.default_rng(0))
    report = measure(learned, join(learned, {"rating": 1.0, "popularity": 1.0}), split)
    assert (report.uncertainty is not None) is is_learned
