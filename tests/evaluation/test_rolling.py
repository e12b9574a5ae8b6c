"""The next item, asked with a history that grows."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from app.algorithms.als_implicit import ImplicitALS
from app.algorithms.biases import Biases
from app.algorithms.ease import EASE
from app.algorithms.funk_svd import FunkSVD
from app.algorithms.knn import KNN
from app.algorithms.learner import Learner
from app.algorithms.rating_matrix import RatingMatrix
from app.evaluation import rolling
from app.evaluation.experiment import BestsellerLearner
from app.evaluation.rolling import Questions, evaluate_next, history_score
from tests.support.known_ratings import Known, checkerboard, ratings_of_rank

TRAIN = RatingMatrix(3, 6, [0, 1, 0, 1], [0, 1, 1, 2], [5, 5, 1, 5], [10, 11, 12, 13])
TEST = RatingMatrix(3, 6, [2, 0, 2, 1, 0], [3, 4, 0, 0, 2], [5, 5, 5, 2, 5], [20, 22, 23, 21, 21])


@dataclass
class Successor:
    """Scores the item after the last one of the history highest, and keeps the histories."""

    seen: list[list[int]] = field(default_factory=list)

    def scores_of(self, histories: RatingMatrix) -> NDArray[np.float32]:
        scores = np.zeros((histories.n_users, histories.n_items), np.float32)
        for row in range(histories.n_users):
            self.seen.append(histories.item_rows[histories.user_rows == row].tolist())
            scores[row, (self.seen[-1][-1] + 1) % histories.n_items] = 1
        return scores


@pytest.mark.parametrize("cells", [1, 4_000_000])
def test_history_grows(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(rolling, "_CELLS_PER_BATCH", cells)
    asked = Questions.from_parts(TRAIN, TEST, liked_from=1)
    successor = Successor()
    metrics = evaluate_next(successor.scores_of, asked, TRAIN, k=2)
    # The first interaction of user 2 has no history; items of the history are not shown.
    assert successor.seen == [[0, 1], [0, 1, 2], [1, 2], [3]]
    assert asked.item_rows.tolist() == [2, 4, 0, 0]
    assert metrics.shown.tolist() == [[2, 3], [3, 4], [3, 0], [4, 0]]
    assert metrics.is_hit.tolist() == [[True, False], [False, True], [False, True], [False, True]]
    assert metrics.n_candidates == 5


def test_mean_of_a_users_questions() -> None:
    asked = Questions.from_parts(TRAIN, TEST, liked_from=1)
    metrics = evaluate_next(Successor().scores_of, asked, TRAIN, k=2)
    assert metrics.over_users(metrics.reciprocal_rank).tolist() == [0.75, 0.5, 0.5]
    assert metrics.at(1).over_users(metrics.at(1).hit_rate).tolist() == [0.5, 0, 0]


def test_only_relevant_are_asked() -> None:
    asked = Questions.from_parts(TRAIN, TEST, liked_from=4)
    assert asked.item_rows.tolist() == [2, 4, 0]
    assert asked.user_rows.tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    "learner",
    [EASE(), KNN(), KNN(centred=False), BestsellerLearner(), Biases(), FunkSVD(n_epochs=3), ImplicitALS(n_epochs=3)],
    ids=str,
)
@pytest.mark.parametrize("known", [checkerboard(), ratings_of_rank(n_users=50, n_items=70)], ids=["items", "users"])
def test_same_scores_for_known_histories(learner: Learner, known: Known) -> None:
    train = known.train
    learned = learner.fit(train, np.random.default_rng(0))
    score = history_score(learned)
    assert score is not None
    rows = np.array([1, 4, 9])
    np.testing.assert_allclose(score(train.select_users(rows)), learned.scores(rows), rtol=1e-3, atol=1e-4)


def test_labels_stay_labels() -> None:
    """After a fit on labels 0 and 1, only the ones of a history are interactions; after stars, all ratings are."""
    history, ones = RatingMatrix(1, 3, [0, 0], [0, 1], [0, 1]), RatingMatrix(1, 3, [0], [1], [1])
    for highest, is_same in ((1, True), (5, False)):
        ratings = RatingMatrix(2, 3, [0, 0, 1, 1], [0, 1, 0, 2], [0, 1, 1, highest])
        learned = EASE().fit(ratings, np.random.default_rng(0))
        assert np.array_equal(learned.scores_of(history), learned.scores_of(ones)) == is_same


def test_fitted_users_only() -> None:
    class Fitted:
        def scores(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
            return np.zeros((len(user_rows), 6), np.float32)

    assert history_score(Fitted()) is None
