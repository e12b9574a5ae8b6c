"""Rankings of a user's next item: held-out interactions are asked one after the other, and the history grows.

A learner is fitted once, on the training part. Every held-out interaction is then a question: of all items but those of
the user's history, which comes next? The history is everything of the user before the question: the training part and
the earlier held-out interactions, by (time, input order). The interaction itself is the only relevant item. An
interaction without any before it is not asked, because a history is what is ranked by.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from app.algorithms.fold_in import fold_in_all
from app.algorithms.learner import Ranker
from app.algorithms.rating_matrix import Features, RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.taste_vectors import TasteFoldIn, TasteVectors
from app.evaluation.ranking import RankingMetrics, best_items

HistoryScore = Callable[[RatingMatrix], NDArray[np.float32]]
"""Histories (b users of a matrix) -> (b, n_items) scores of all items, higher is better."""

_CELLS_PER_BATCH = 4_000_000


@runtime_checkable
class HistoryRanker(Protocol):
    """The result of a fit that ranks items for any history, also for one that grew after the fit."""

    def scores_of(self, histories: RatingMatrix) -> NDArray[np.float32]:
        """Return the ranking scores of all items, higher first: (b, n_items) float32.

        `histories`: the users of this matrix are b histories, its items those of the fit. The interactions of a history
        are oldest first; their times may be unknown. The history of a user in the training part gets the scores that
        `scores` returns for this user, up to rounding.
        """
        ...


def history_score(learned: Ranker) -> HistoryScore | None:
    """Return how the result of a fit ranks histories; None if it ranks only the users of the fit.

    Factors of users are folded in: the ridge regression by which the fit itself gets them from item factors.
    """
    if isinstance(learned, HistoryRanker):
        return learned.scores_of
    if isinstance(learned, RatingVectors):
        return lambda histories: _scores_by_rating(learned, histories)
    if isinstance(learned, TasteVectors):
        return lambda histories: _scores_by_taste(learned, histories)
    return None


def _scores_by_rating(learned: RatingVectors, histories: RatingMatrix) -> NDArray[np.float32]:
    # As `RatingVectors.scores`: b_i + p . q_i
    factors, _ = fold_in_all(histories, learned)
    scores: NDArray[np.float32] = factors @ learned.item_factors.T + learned.item_biases
    return scores


def _scores_by_taste(learned: TasteVectors, histories: RatingMatrix) -> NDArray[np.float32]:
    # As `TasteVectors.scores`: x . y_i
    fold_in = TasteFoldIn(learned.gram, learned.weighting, learned.penalty)
    by_user = histories.by_user
    tastes = np.zeros((histories.n_users, learned.item_factors.shape[1]), np.float32)
    for row in range(histories.n_users):
        entries = slice(by_user.indptr[row], by_user.indptr[row + 1])
        tastes[row] = fold_in.taste(learned.item_factors[by_user.indices[entries]], by_user.data[entries])
    scores: NDArray[np.float32] = tastes @ learned.item_factors.T
    return scores


@dataclass(frozen=True)
class Questions:
    """q held-out interactions and the histories before them.

    `timeline`: all interactions of both parts, sorted by (user, time, input order), the training part first among
        equal times.
    `asked`: (q,) ascending positions in the timeline.
    """

    timeline: RatingMatrix
    asked: NDArray[np.int64]

    @classmethod
    def from_parts(cls, train: RatingMatrix, test: RatingMatrix, liked_from: float) -> "Questions":
        """Build the questions of all interactions of `test` rated `liked_from` or higher that have one before them."""
        users = np.append(train.user_rows, test.user_rows)
        times = np.append(train.times, test.times)
        # `lexsort` is stable: equal times keep the input order.
        order = np.lexsort((times, users))
        timeline = RatingMatrix(
            train.n_users,
            train.n_items,
            users[order],
            np.append(train.item_rows, test.item_rows)[order],
            np.append(train.values, test.values)[order],
            times[order],
            train.features,
        )
        is_asked = (order >= len(train)) & (timeline.values >= liked_from)
        # The first interaction of a user has no history.
        is_asked[1:] &= timeline.user_rows[1:] == timeline.user_rows[:-1]
        is_asked[:1] = False
        return cls(timeline, np.flatnonzero(is_asked))

    def __len__(self) -> int:
        return len(self.asked)

    @property
    def user_rows(self) -> NDArray[np.int32]:
        """(q,) the user of each question, ascending."""
        return self.timeline.user_rows[self.asked]

    @property
    def item_rows(self) -> NDArray[np.int32]:
        """(q,) the item that comes next."""
        return self.timeline.item_rows[self.asked]

    @cached_property
    def _lengths(self) -> NDArray[np.int64]:
        """(q,) number of interactions before each question."""
        ends = np.cumsum(self.timeline.user_counts)
        starts = ends - self.timeline.user_counts
        lengths: NDArray[np.int64] = self.asked - starts[self.user_rows]
        return lengths

    def histories(self, part: slice) -> RatingMatrix:
        """Return the histories of a range of questions as the users of a matrix, oldest interaction first."""
        asked, lengths = self.asked[part], self._lengths[part]
        history = np.repeat(np.arange(len(asked)), lengths)
        # The history of position p is the range p - length, ..., p - 1.
        of_first = np.cumsum(lengths) - lengths
        entries = np.arange(len(history)) - np.repeat(of_first, lengths) + np.repeat(asked - lengths, lengths)
        features = self.timeline.features
        if features is not None:
            features = Features(features.items, features.users[self.user_rows[part]])
        columns = (self.timeline.item_rows[entries], self.timeline.values[entries], self.timeline.times[entries])
        return RatingMatrix(len(asked), self.timeline.n_items, history, *columns, features)

    def batches(self) -> Iterator[slice]:
        """Yield ranges of questions whose scores and histories are small enough to be held in memory."""
        cost = np.cumsum(self._lengths + self.timeline.n_items)
        start = 0
        while start < len(self):
            spent = cost[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(cost, spent + _CELLS_PER_BATCH, side="right")))
            yield slice(start, stop)
            start = stop


def evaluate_next(score: HistoryScore, questions: Questions, train: RatingMatrix, *, k: int) -> RankingMetrics:
    """Rank the candidates of each question: all items of the data, minus those of the history.

    `questions`: with one at least, from the same `train`. The lists have length k, or hold all candidates if these are
    fewer. Ties are broken by item order.
    """
    is_candidate = questions.timeline.item_counts > 0
    n_candidates = int(np.count_nonzero(is_candidate))
    k = min(k, n_candidates)
    shown = np.full((len(questions), k), -1, dtype=np.int64)
    for part in questions.batches():
        histories = questions.histories(part)
        # A copy, because learners may return a view of their own arrays.
        scores = np.array(score(histories), dtype=np.float32)
        scores[:, ~is_candidate] = -np.inf
        scores[histories.user_rows, histories.item_rows] = -np.inf
        for row, of_question in enumerate(scores, part.start):
            best = best_items(of_question, k)
            shown[row, : len(best)] = best
    return RankingMetrics(
        shown,
        is_hit=shown == questions.item_rows[:, None],
        n_relevant=np.ones(len(questions), np.int64),
        n_candidates=n_candidates,
        n_raters=train.item_counts,
        n_raters_in_all=int(np.count_nonzero(train.user_counts)),
        user_rows=questions.user_rows.astype(np.int64),
    )
