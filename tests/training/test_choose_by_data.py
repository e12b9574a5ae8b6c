"""What the default recipe makes of ratings of many kinds: it adapts, says why, and never ranks below bestsellers."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME, IncomingRatings, RatingScale
from app.scoring import PublishedScorer
from tests.support.published import opened_shop
from tests.support.ratings import incoming
from tests.support.user_states import tasteful_ratings

pytestmark = pytest.mark.slow

TASTEFUL = tasteful_ratings()
IDENTICAL = incoming(*((f"u{user}", f"i{item}", 1 + item % 5, item) for user in range(20) for item in range(15)))

Train = Callable[[IncomingRatings, RatingScale], PublishedScorer]


def with_values(values: NDArray[np.float64]) -> IncomingRatings:
    return replace(TASTEFUL, value=values)


RATINGS = {
    "plain": (TASTEFUL, RatingScale()),
    "likes": (with_values(np.ones(len(TASTEFUL))), RatingScale(0, 1, 1)),
    "all 5": (with_values(np.full(len(TASTEFUL), 5.0)), RatingScale()),
    "identical": (IDENTICAL, RatingScale()),
    "few": (tasteful_ratings(10, 20, 5), RatingScale()),
    **{f"noise {seed}": (tasteful_ratings(20, 15, 4, seed=seed), RatingScale()) for seed in range(4)},
}


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    def publish(ratings: IncomingRatings, scale: RatingScale) -> PublishedScorer:
        with opened_shop(tmp_path_factory.mktemp("shop"), ratings, scale) as shop:
            return shop.train()

    return publish


@pytest.fixture(scope="module")
def learned(train: Train) -> Callable[[str], PublishedScorer]:
    """What is learned from the `RATINGS` of that name, once for all tests."""
    return cache(lambda name: train(*RATINGS[name]))


@pytest.fixture
def plain(learned: Callable[[str], PublishedScorer]) -> PublishedScorer:
    return learned("plain")


def segments(snapshot: PublishedScorer) -> dict[str, str]:
    return {segment.name: segment.algorithm for segment in snapshot.manifest.segments}


def ndcg(snapshot: PublishedScorer, of: str = "snapshot") -> float:
    value = snapshot.manifest.metrics[of]["ndcg@10"]
    assert value is not None
    return value


@pytest.mark.parametrize("scale", [RatingScale(-10, 10), RatingScale(0, 100), RatingScale(0, 0.01)], ids=str)
def test_scale_changes_nothing(train: Train, plain: PublishedScorer, scale: RatingScale) -> None:
    share = (TASTEFUL.value - 1) / 4
    snapshot = train(with_values(scale.minimum + share * (scale.maximum - scale.minimum)), scale)
    assert snapshot.manifest.reason is None
    assert segments(snapshot) == segments(plain)
    assert ndcg(snapshot) == pytest.approx(ndcg(plain), abs=0.02)


def test_choices_name_figures(plain: PublishedScorer) -> None:
    choices = plain.manifest.choices
    assert any(choice.startswith("rating by bayesian_mf: RMSE inside the training part funk_svd") for choice in choices)
    assert any(choice.startswith("taste by als_implicit: ") for choice in choices)


def test_without_times(train: Train, plain: PublishedScorer) -> None:
    snapshot = train(replace(TASTEFUL, rated_at=np.full(len(TASTEFUL), UNKNOWN_TIME)), RatingScale())
    assert snapshot.manifest.reason is None
    assert ndcg(snapshot) > 0.9 * ndcg(plain)


def test_labels(train: Train) -> None:
    snapshot = train(with_values((TASTEFUL.value >= 4).astype(np.float64)), RatingScale(0, 1, 1))
    assert snapshot.manifest.reason is None
    assert "taste" in segments(snapshot)
    assert ndcg(snapshot) > 1.5 * ndcg(snapshot, "bestsellers")


def test_likes_alone(learned: Callable[[str], PublishedScorer]) -> None:
    """All ratings equal: nothing to predict, and still a taste to learn."""
    snapshot = learned("likes")
    assert snapshot.manifest.reason is None
    assert segments(snapshot) | {"popularity": ""} == {"rating": "biases", "taste": "als_implicit", "popularity": ""}
    assert "rating by biases: all ratings are equal" in snapshot.manifest.choices
    assert ndcg(snapshot) > 1.2 * ndcg(snapshot, "bestsellers")


def test_ratings_at_random(train: Train) -> None:
    """What is rated says a lot, how it is rated nothing: biases, beside the taste."""
    values = np.random.default_rng(0).integers(4, 6, len(TASTEFUL)).astype(np.float64)
    snapshot = train(with_values(values), RatingScale())
    assert ndcg(snapshot) > 1.1 * ndcg(snapshot, "bestsellers")
    assert any(" biases " in choice for choice in snapshot.manifest.choices)


def test_nothing_liked(train: Train) -> None:
    snapshot = train(with_values(np.full(len(TASTEFUL), 2.0)), RatingScale())
    assert "too few ratings" in str(snapshot.manifest.reason)
    assert snapshot.manifest.choices


@pytest.mark.parametrize("name", RATINGS)
def test_never_below_bestsellers(learned: Callable[[str], PublishedScorer], name: str) -> None:
    snapshot = learned(name)
    assert ndcg(snapshot) >= ndcg(snapshot, "bestsellers")
    if snapshot.manifest.reason is None:
        assert ndcg(snapshot) > ndcg(snapshot, "bestsellers")


def test_fallback_is_bestsellers(learned: Callable[[str], PublishedScorer]) -> None:
    """The predicted rating, too small to reorder anything, is still there."""
    snapshot = learned("few")
    assert "bestsellers" in " ".join(snapshot.manifest.choices)
    assert str(snapshot.manifest.reason).startswith(("rmse", "ndcg@10"))
    scores = snapshot.item_vectors @ snapshot.user_vectors[0]
    np.testing.assert_array_equal(np.argsort(-scores, kind="stable"), snapshot.arrays.popular_rows)
    predicted = snapshot.predict(snapshot.user_side(0), snapshot.item_vectors[np.arange(snapshot.n_items)])
    assert np.ptp(predicted) > 0.1
    assert (np.abs(predicted - 3) <= 2).all()
