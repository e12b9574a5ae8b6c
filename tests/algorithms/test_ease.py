from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.algorithms import ease
from app.algorithms.ease import EASE, ItemWeights
from app.algorithms.errors import AlgorithmError, FitDivergedError
from app.algorithms.rating_matrix import RatingMatrix
from tests.algorithms.ranker_contract import RankerContract, all_scores


class TestEASE(RankerContract):
    name = "ease"

    def learner(self, **hyperparameters: Any) -> EASE:
        return EASE(**hyperparameters)

    def of_board(self, ratings: RatingMatrix) -> RatingMatrix:
        return ratings.subset(ratings.values == 5)


def random_ratings(n_users: int, n_items: int, seed: int = 0) -> RatingMatrix:
    is_rated = np.random.default_rng(seed).random((n_users, n_items)) < 0.3
    users, items = np.nonzero(is_rated)
    return RatingMatrix(n_users, n_items, users, items, np.full(len(users), 3.0))


def fit(ratings: RatingMatrix, **hyperparameters: Any) -> ItemWeights:
    return EASE(**hyperparameters).fit(ratings, np.random.default_rng(0))


def column_by_column(observed: NDArray[np.float64], penalties: NDArray[np.float64]) -> NDArray[np.float64]:
    """The definition: a ridge regression of every item on all the others."""
    n_items = observed.shape[1]
    weights = np.zeros((n_items, n_items))
    for item in range(n_items):
        others = np.arange(n_items) != item
        features = observed[:, others]
        gram = features.T @ features + np.diag(penalties[others])
        weights[others, item] = np.linalg.solve(gram, features.T @ observed[:, item])
    return weights


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize(("n_users", "n_items"), [(40, 25), (25, 40), (30, 30)])
def test_column_wise_ridge(n_users: int, n_items: int, dropout: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "_CELLS_PER_BLOCK", 7 * n_items)  # several blocks
    learned = fit(random_ratings(n_users, n_items), dropout=dropout)
    observed = learned.observed.toarray()
    weights = column_by_column(observed, learned.penalties)
    np.testing.assert_allclose(learned.scores(np.arange(n_users)), observed @ weights, atol=1e-6)
    np.testing.assert_allclose(learned.outgoing(n_items).toarray(), weights, atol=1e-6)


@pytest.mark.parametrize(("n_users", "n_items"), [(40, 25), (25, 40)])
def test_rows_are_cut(n_users: int, n_items: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "_CELLS_PER_BLOCK", 7 * n_items)
    learned = fit(random_ratings(n_users, n_items))
    weights = column_by_column(learned.observed.toarray(), learned.penalties)
    table = learned.outgoing(4)
    for item in range(n_items):
        strongest = np.sort(np.argsort(-np.abs(weights[item]), kind="stable")[:4])
        assert table[[item]].indices.tolist() == strongest.tolist()
        np.testing.assert_allclose(table[[item]].data, weights[item, strongest], atol=1e-6)


def test_either_side_same_table() -> None:
    narrow = random_ratings(30, 60)
    tall = RatingMatrix(100, 60, narrow.user_rows, narrow.item_rows, narrow.values)
    first, second = fit(narrow).outgoing(5), fit(tall).outgoing(5)
    np.testing.assert_array_equal(first.indices, second.indices)
    np.testing.assert_allclose(first.data, second.data, rtol=1e-5)


def test_whole_table_is_exact() -> None:
    ratings = random_ratings(30, 20)
    learned = fit(ratings)
    scores = (learned.observed @ learned.outgoing(20)).toarray()
    np.testing.assert_allclose(scores, all_scores(learned, ratings), atol=1e-5)


def test_penalty_from_histories() -> None:
    ratings = RatingMatrix(3, 4, [0, 0, 0, 1], [0, 1, 2, 0], [5, 1, 3, 2])
    # The last item has no choices, so nothing of the denoising is added.
    assert fit(ratings, regularization=2.0).penalties[3] == pytest.approx(2 * (3 * 3 + 1) / 4)


def test_zero_labels_only() -> None:
    learned = fit(RatingMatrix(2, 3, [0, 0, 1], [0, 1, 2], [0, 0, 0]))
    np.testing.assert_array_equal(learned.scores(np.arange(2)), 0)


def test_size_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "MAX_SIDE", 10)
    assert fit(random_ratings(10, 300)).scores(np.arange(10)).shape == (10, 300)
    with pytest.raises(AlgorithmError, match=r"10 of them at most .* 12 items and 11 users"):
        fit(random_ratings(11, 12))


@pytest.mark.parametrize("shape", [(50, 20), (20, 50)])
def test_vanishing_penalty(shape: tuple[int, int]) -> None:
    ratings = RatingMatrix(*shape, np.repeat(np.arange(20), 20), np.tile(np.arange(20), 20), np.ones(400))
    try:
        learned = fit(ratings, regularization=1e-6)
    except FitDivergedError as error:
        assert "regularization" in str(error)  # noqa: PT017  either outcome is right, only garbage is not
    else:
        assert np.abs(all_scores(learned, ratings)).max() < 2
