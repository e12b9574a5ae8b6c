"""A training part, a hold-out and the users measured on it: the data that recipes are compared on."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.entities import UNKNOWN_TIME, RatingScale
from app.evaluation.ranking import RankingMetrics, Score, evaluate_ranking, users_with_relevant
from app.training.dataset import Question, divide, held_out

K = 10
RMSE, MAE = "rmse", "mae"

LEAST_NDCG = 1e-4
"""The least that a question counts in the mean of both: where no list has a hit of one, the other still decides."""

MAX_USERS = 2000
"""Users whose lists are measured, drawn at random where there are more. Their mean nDCG is known to about 0.004."""


@dataclass(frozen=True)
class Common:
    """Users and items that two snapshots know, on which they can be compared.

    `are_users`: (n_users,) bool. `are_items`: (n_items,) bool.
    """

    are_users: NDArray[np.bool_]
    are_items: NDArray[np.bool_]


@dataclass(frozen=True)
class ValidationSplit:
    """One split of the ratings.

    `user_rows`: (b,) the users whose lists are measured, the same for every recipe, so that recipes differ in nothing
    else. `question`: what makes a held-out item relevant.
    """

    train: RatingMatrix
    holdout: RatingMatrix
    scale: RatingScale
    user_rows: NDArray[np.int64]
    question: Question = "newest"

    @classmethod
    def draw(
        cls,
        train: RatingMatrix,
        holdout: RatingMatrix,
        scale: RatingScale,
        rng: np.random.Generator,
        max_users: int = MAX_USERS,
        question: Question = "newest",
    ) -> "ValidationSplit":
        """Measures up to `max_users` of the users with a relevant held-out item; lists of others cannot be judged."""
        user_rows = users_with_relevant(holdout, relevant_from(scale, question))
        # Sorted, so that the order of the users does not depend on the draw.
        if len(user_rows) > max_users:
            user_rows = np.sort(rng.choice(user_rows, max_users, replace=False))
        return cls(train, holdout, scale, user_rows, question)

    @property
    def is_measurable(self) -> bool:
        return len(self.train) > 0 and len(self.user_rows) > 0

    @property
    def unmeasured(self) -> str | None:
        """Why nothing can be measured; None where something can."""
        if not len(self.train) or not len(self.holdout):
            return "no user has two ratings, one to learn from and a newer one to measure on"
        if not len(self.user_rows):
            least = f"{self.scale.liked_from:g}"
            return f"none of the {len(self.holdout):,} ratings held out is liked, which takes at least {least}"
        return None

    @cached_property
    def _liked(self) -> RatingMatrix:
        return self.holdout.subset(self.holdout.values >= relevant_from(self.scale, self.question))

    @cached_property
    def next_items(self) -> NDArray[np.int64]:
        """(b,) row of the first held-out item of each measured user, where both questions are asked; -1 where its time
        is unknown or not before that of the others. Empty where it is so for most users.
        """
        held = self.holdout
        order = np.lexsort((held.times, held.user_rows))
        users, times = held.user_rows[order], held.times[order]
        is_first = np.diff(users, prepend=-1) != 0
        is_alone = np.ones(len(order), np.bool_)
        is_alone[:-1] = (users[1:] != users[:-1]) | (times[1:] != times[:-1])
        is_next = is_first & is_alone & (times != UNKNOWN_TIME)
        rows = np.full(held.n_users, -1)
        rows[users[is_next]] = held.item_rows[order][is_next]
        of_measured: NDArray[np.int64] = rows[self.user_rows]
        is_asked = self.question == "both" and np.mean(of_measured >= 0) > 1 / 2 if len(of_measured) else False
        return of_measured if is_asked else of_measured[:0]

    @cached_property
    def n_relevant(self) -> NDArray[np.int64]:
        """(b,) how many held-out items are relevant to each measured user, > 0."""
        return self._liked.user_counts[self.user_rows]

    def is_relevant(self, user_rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(b, n_items): held out and relevant."""
        return _cells(self._liked.by_user, user_rows)

    def may_be_shown(self, user_rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(b, n_items): rated by any user, in either part, and not observed of this user in the training part."""
        # Items that were never rated are no candidates: no list of the hold-out could contain them.
        is_candidate = (self.train.item_counts + self.holdout.item_counts) > 0
        return is_candidate & ~_cells(self.train.observed, user_rows)

    def rank(self, score: Score) -> RankingMetrics:
        """The measures of the lists by `score` for the measured users."""
        least = relevant_from(self.scale, self.question)
        return evaluate_ranking(score, self.user_rows, self.train, self.holdout, liked_from=least, k=K)

    def ndcg_among(self, score: Score, common: Common) -> NDArray[np.float64]:
        """(m,) nDCG@10 of lists by `score` that hold common items alone, where these alone are relevant.

        Of the measured users who are common and have a relevant item among them, in the order of `user_rows`.
        """
        least = relevant_from(self.scale, self.question)
        held = self.holdout.subset(common.are_items[self.holdout.item_rows])
        user_rows = self.user_rows[common.are_users[self.user_rows]]
        user_rows = user_rows[np.isin(user_rows, users_with_relevant(held, least))]

        def score_common(rows: NDArray[np.int64]) -> NDArray[np.floating]:
            return np.where(common.are_items, score(rows), -np.inf)

        return evaluate_ranking(score_common, user_rows, self.train, held, liked_from=least, k=K).ndcg

    def ndcg(self, score: Score) -> float:
        """The mean nDCG@10 of the lists by `score`: user rows (b,) -> scores of all items (b, n_items).

        Where both questions are asked, it is the geometric mean of both.
        """
        ranking = self.rank(score)
        newest = float(ranking.ndcg.mean())
        if not len(self.next_items):
            return newest
        # With one relevant item, nDCG = 1 / log2(1 + rank).
        is_next = ranking.shown == self.next_items[:, None]
        next_ndcg = float((is_next @ (1 / np.log2(np.arange(2, ranking.k + 2)))).mean())
        return math.sqrt(max(newest, LEAST_NDCG) * max(next_ndcg, LEAST_NDCG))

    def errors(self, vectors: RatingVectors) -> NDArray[np.float64]:
        """(n,) predicted minus actual rating of everything held out, in units of the scale; predictions are clipped."""
        held = self.holdout
        # Clipped as served: no prediction outside the scale is ever shown.
        predicted = vectors.predict(held.user_rows, held.item_rows).clip(self.scale.minimum, self.scale.maximum)
        return predicted.astype(np.float64) - held.values


def inner_split(
    ratings: RatingMatrix,
    scale: RatingScale,
    fraction: float,
    rng: np.random.Generator,
    question: Question = "both",
    *,
    max_ratings: int,
    max_users: int,
) -> ValidationSplit:
    """`ratings`, themselves a training part, split once more; of large data, only some users, drawn at random.

    Nothing is held out of users whose lists are not measured, so that candidates learn from nearly as much as the
    recipe will in the end: which of them is best depends on how much there is to learn from.
    """
    sample = _sample_users(ratings, max_ratings, rng)
    is_held_out = held_out(sample, fraction, rng, question)
    # A user without any rating to learn from gets popular items whatever is chosen here.
    has_history = np.bincount(sample.user_rows[~is_held_out], minlength=sample.n_users) > 0
    parts = divide(sample, is_held_out & has_history[sample.user_rows])
    measured = ValidationSplit.draw(*parts, scale, rng, max_users, question)
    is_measured = np.zeros(sample.n_users, np.bool_)
    is_measured[measured.user_rows] = True
    train, holdout = divide(sample, is_held_out & is_measured[sample.user_rows])
    return ValidationSplit(train, holdout, scale, measured.user_rows, question)


def relevant_from(scale: RatingScale, question: Question) -> float:
    """Held-out ratings at or above it are relevant: liked ones, or any where the question is what comes next."""
    return -math.inf if question == "next" else scale.liked_from


def _cells(known: sparse.csr_array, user_rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(b, n_items), whether `known` has an entry there."""
    # A stored rating of 0 is an entry as well, so the values are replaced by ones before the matrix becomes dense.
    mask = sparse.csr_array((np.ones(known.nnz, np.bool_), known.indices, known.indptr), shape=known.shape)
    cells: NDArray[np.bool_] = mask[user_rows].toarray()
    return cells


def _sample_users(ratings: RatingMatrix, max_ratings: int, rng: np.random.Generator) -> RatingMatrix:
    """All ratings of some users, about `max_ratings` together, the users in rows without gaps."""
    if len(ratings) <= max_ratings:
        return ratings
    # Whole users: half of a history would hold out other ratings than the whole one.
    order = rng.permutation(ratings.n_users)
    chosen = np.sort(order[np.cumsum(ratings.user_counts[order]) <= max_ratings])
    return ratings.select_users(chosen)
