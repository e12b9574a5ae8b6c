from typing import Any

import numpy as np
import pytest

from app.algorithms import knn
from app.algorithms.biases import Biases
from app.algorithms.errors import FitDivergedError
from app.algorithms.knn import KNN, NeighbourPredictor
from app.algorithms.rating_matrix import RatingMatrix
from app.evaluation.metrics import rmse
from tests.algorithms.ranker_contract import PredictorContract, RankerContract
from tests.support.known_ratings import ratings_of_rank


class TestPearson(PredictorContract):
    name = "knn"
    checkerboard_rmse = (0.0, 0.3)
    rank_four_rmse = (0.5, 0.7)

    def learner(self, **hyperparameters: Any) -> KNN:
        return KNN(**hyperparameters)


class TestCosine(RankerContract):
    name = "knn"

    def learner(self, **hyperparameters: Any) -> KNN:
        return KNN(**hyperparameters, centred=False)


def fit(ratings: RatingMatrix, **hyperparameters: Any) -> NeighbourPredictor:
    return KNN(**hyperparameters).fit(ratings, np.random.default_rng(0))


def similarity(first: dict[int, float], second: dict[int, float], shrinkage: float) -> float:
    """By the definition, of one item's values by user and another's."""
    common = first.keys() & second.keys()
    product = sum(first[user] * second[user] for user in common)
    lengths = np.sqrt(sum(value**2 for value in first.values()) * sum(value**2 for value in second.values()))
    return product / lengths * len(common) / (len(common) + shrinkage) if product > 0 else 0.0


def test_pearson_by_hand() -> None:
    # Users' and items' means are all 3, so that b_ui = 3; e = (1, -1, 1, -1), (1, -1, 0, 0) and their negated sum.
    values = np.array([[4, 4, 1], [2, 2, 5], [4, 3, 2], [2, 3, 4]])
    users, items = np.indices(values.shape).reshape(2, -1)
    learned = fit(RatingMatrix(4, 3, users, items, values.ravel()), shrinkage=4.0, regularization=0.0)
    # s_01 = 2 / sqrt(4 x 2) x 4 / (4 + 4); the third item is correlated negatively with both
    np.testing.assert_array_equal(learned.table.rows, [[1, -1], [0, -1], [-1, -1]])
    np.testing.assert_allclose(learned.table.weights[:2, 0], (2 / np.sqrt(8) / 2) ** 2, rtol=1e-5)
    # user 0 rated the only neighbour of item 0 with 4, so 1 above expectation
    np.testing.assert_allclose(learned.predict(np.array([0, 0]), np.array([0, 2])), [4.0, 3.0], rtol=1e-5)
    np.testing.assert_allclose(learned.scores(np.array([0]))[0, 0], 0.125 * (1 + 1 / learned.scale), rtol=1e-5)


@pytest.mark.parametrize("centred", [True, False])
def test_slow_reference(centred: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "_CELLS_PER_BLOCK", 70)  # several blocks of users and items
    known = ratings_of_rank(n_users=40, n_items=20)
    train, test = known.train, known.test
    baseline = Biases().fit(train, np.random.default_rng(0))
    deviations = train.values - baseline.predict(train.user_rows, train.item_rows)
    of_items: list[dict[int, float]] = [{} for _ in range(20)]
    left: list[dict[int, float]] = [{} for _ in range(40)]
    for user, item, rating, deviation in zip(
        train.user_rows.tolist(), train.item_rows.tolist(), train.values.tolist(), deviations.tolist(), strict=True
    ):
        of_items[item][user] = deviation if centred else rating
        left[user][item] = deviation
    predicted = baseline.predict(test.user_rows, test.item_rows)
    for place, (user, item) in enumerate(zip(test.user_rows.tolist(), test.item_rows.tolist(), strict=True)):
        others = [
            (similarity(of_items[item], of_items[other], 3.0) ** 2, other) for other in range(20) if other != item
        ]
        near = [
            (weight, other) for weight, other in sorted(others, reverse=True)[:6] if weight > 0 and other in left[user]
        ]
        if near:
            evidence = sum(weight for weight, _ in near) + 0.1
            predicted[place] += sum(weight * left[user][other] for weight, other in near) / evidence
    learned = fit(train, n_neighbours=6, shrinkage=3.0, regularization=0.1, centred=centred)
    np.testing.assert_allclose(learned.predict(test.user_rows, test.item_rows), predicted, atol=1e-4)


def test_beats_the_baseline() -> None:
    known = ratings_of_rank()
    assert known.rmse_of(KNN()) < 0.9 * known.rmse_of(Biases())  # type: ignore[arg-type]  # it only has to predict


def test_equal_ratings_rank_by_company() -> None:
    # All ratings are equal here; users 0 to 4 rated items 0 to 2 and the others items 3 to 5, but user 0 not item 0.
    users, items = np.nonzero(np.kron(np.eye(2), np.ones((5, 3))))
    scores = fit(RatingMatrix(10, 6, users[1:], items[1:], np.full(29, 3.3))).scores(np.array([0]))[0]
    assert scores[0] > scores[3:].max()


def test_well_rated_counts_more() -> None:
    # Items 0 and 1 are liked by the same users, 2 and 3 by the others; the last user likes 0 and dislikes 2.
    values = np.tile([[5, 5, 1, 1], [1, 1, 5, 5]], (10, 1))
    users, items = np.indices(values.shape).reshape(2, -1)
    ratings = RatingMatrix(21, 4, [*users, 20, 20], [*items, 0, 2], [*values.ravel(), 5, 1])
    scores = fit(ratings).scores(np.array([20]))[0]
    assert scores[1] > 2 * scores[3]


def test_evidence_keeps_to_baseline() -> None:
    known = ratings_of_rank(n_users=80, n_items=40)
    pairs = known.test.user_rows, known.test.item_rows
    learned = fit(known.train, regularization=1e6)
    np.testing.assert_allclose(learned.predict(*pairs), learned.baseline.predict(*pairs), atol=1e-3)


def test_huge_values_survive() -> None:
    known = ratings_of_rank(n_users=60, n_items=40)
    train = known.train
    huge = RatingMatrix(60, 40, train.user_rows, train.item_rows, train.values * 1e30)
    predicted, expected = (
        fit(ratings).predict(known.test.user_rows, known.test.item_rows) for ratings in (huge, train)
    )
    assert rmse(predicted / np.float32(1e30), expected) < 0.01


def test_too_large_is_an_error() -> None:
    ratings = RatingMatrix(2, 2, [0, 0, 1, 1], [0, 1, 0, 1], [3e38, -3e38, 3e38, 1.0])
    try:
        learned = fit(ratings)
    except FitDivergedError:
        return
    assert np.isfinite(learned.scores(np.arange(2))).all()


def test_no_pairs() -> None:
    learned = fit(ratings_of_rank(n_users=40, n_items=20).train)
    assert learned.predict(np.zeros(0, np.int64), np.zeros(0, np.int64)).shape == (0,)
