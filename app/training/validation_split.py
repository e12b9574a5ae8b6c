"""A training part, a hold-out and the users measured on it: the data that recipes are compared on."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.entities import RatingScale
from app.evaluation.ranking import RankingMetrics, Score, evaluate_ranking, users_with_relevant
from app.training.dataset import hold_out

K = 10
RMSE, MAE = "rmse", "mae"

MAX_USERS = 2000
"""Users whose lists are measured, drawn at random where there are more. Their mean nDCG is known to about 0.004."""


@dataclass(frozen=True)
class ValidationSplit:
    """One split of the ratings.

    `user_rows`: (b,) the users whose lists are measured, the same for every recipe, so that recipes differ in nothing
    else.
    """

    train: RatingMatrix
    holdout: RatingMatrix
    scale: RatingScale
    user_rows: NDArray[np.int64]

    @classmethod
    def draw(
        cls,
        train: RatingMatrix,
        holdout: RatingMatrix,
        scale: RatingScale,
        rng: np.random.Generator,
        max_users: int = MAX_USERS,
    ) -> "ValidationSplit":
        """Measures up to `max_users` of the users who like a held-out item; the lists of others cannot be judged."""
        user_rows = users_with_relevant(holdout, scale.liked_from)
        # Sorted, so that the order of the users does not depend on the draw.
        if len(user_rows) > max_users:
            user_rows = np.sort(rng.choice(user_rows, max_users, replace=False))
        return cls(train, holdout, scale, user_rows)

    @property
    def is_measurable(self) -> bool:
        return len(self.train) > 0 and len(self.user_rows) > 0

    @cached_property
    def _liked(self) -> RatingMatrix:
        return self.holdout.subset(self.holdout.values >= self.scale.liked_from)

    @cached_property
    def n_relevant(self) -> NDArray[np.int64]:
        """(b,) how many held-out items each measured user likes, > 0."""
        return self._liked.user_counts[self.user_rows]

    def is_relevant(self, user_rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(b, n_items): held out and liked."""
        return _cells(self._liked.by_user, user_rows)

    def may_be_shown(self, user_rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(b, n_items): rated by any user, in either part, and not observed of this user in the training part."""
        # Items that were never rated are no candidates: no list of the hold-out could contain them.
        is_candidate = (self.train.item_counts + self.holdout.item_counts) > 0
        return is_candidate & ~_cells(self.train.observed, user_rows)

    def rank(self, score: Score) -> RankingMetrics:
        """The measures of the lists by `score` for the measured users."""
        return evaluate_ranking(score, self.user_rows, self.train, self.holdout, liked_from=self.scale.liked_from, k=K)

    def ndcg(self, user_part: NDArray[np.float32], item_part: NDArray[np.float32]) -> float:
        """The mean nDCG@10 of the lists by user part (n_users, c) . item part (n_items, c)."""
        return float(self.rank(lambda users: user_part[users] @ item_part.T).ndcg.mean())

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
    *,
    max_ratings: int,
    max_users: int,
) -> ValidationSplit:
    """`ratings`, themselves a training part, split once more; of large data, only some users, drawn at random."""
    sample = _sample_users(ratings, max_ratings, rng)
    return ValidationSplit.draw(*hold_out(sample, fraction, rng), scale, rng, max_users)


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
