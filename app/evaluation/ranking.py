"""Ranking metrics of lists from the full catalogue.

The candidates of a user are all items of train and test, minus the user's rated items in train and minus the items with
labels from the user's events in train, which are never held out. Relevant items are held-out items rated `liked_from`
or higher. Ties are broken by item order. Means are over users with at least one relevant item.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix

Score = Callable[[NDArray[np.int64]], NDArray[np.floating]]
"""User rows (b,) -> (b, n_items) scores of all items, higher is better; an item without a finite score is not shown."""

_SCORES_PER_BATCH = 4_000_000

PerUser = NDArray[np.float64]


@dataclass(frozen=True)
class RankingMetrics:
    """b lists of length k, and which of their items are relevant.

    `shown`: (b, k) item rows, -1 after the end of a shorter list.
    `is_hit`: (b, k) whether the shown item is relevant.
    `n_relevant`: (b,) int64 number of relevant items, > 0.
    `n_candidates`: number of items of train and test.
    `n_raters`: (n_items,) int64 number of users of train who rated each item.
    `n_raters_in_all`: number of users of train with ratings.
    `user_rows`: (b,) the user of each list, ascending; a user may have several lists.
    """

    shown: NDArray[np.int64]
    is_hit: NDArray[np.bool_]
    n_relevant: NDArray[np.int64]
    n_candidates: int
    n_raters: NDArray[np.int64]
    n_raters_in_all: int
    user_rows: NDArray[np.int64]

    @property
    def users(self) -> NDArray[np.int64]:
        """(m,) the rows of the users with lists, ascending."""
        return np.unique(self.user_rows)

    def over_users(self, of_lists: PerUser) -> PerUser:
        """Return the mean of (b,) values of lists over the lists of each user: (m,), in the order of `users`."""
        _, user, counts = np.unique(self.user_rows, return_inverse=True, return_counts=True)
        means: PerUser = np.bincount(user, of_lists) / counts
        return means

    def at(self, k: int) -> "RankingMetrics":
        """Return the metrics of the first k items of every list."""
        return replace(self, shown=self.shown[:, :k], is_hit=self.is_hit[:, :k])

    @property
    def k(self) -> int:
        return int(self.shown.shape[1])

    @cached_property
    def _discounts(self) -> NDArray[np.float64]:
        # discount(rank) = 1 / log2(1 + rank). Ideal lists may be longer than k, see `ndcg_full`.
        places = np.arange(1, max(self.k, int(self.n_relevant.max(initial=0))) + 1)
        discounts: NDArray[np.float64] = 1 / np.log2(1.0 + places)
        return discounts

    @cached_property
    def _n_hits(self) -> NDArray[np.int64]:
        n_hits: NDArray[np.int64] = self.is_hit.sum(axis=1)
        return n_hits

    @property
    def _gain(self) -> PerUser:
        gain: PerUser = self.is_hit @ self._discounts[: self.k]
        return gain

    @cached_property
    def ndcg(self) -> PerUser:
        """(b,) DCG / ideal DCG, where DCG is the sum over hits of 1 / log2(1 + rank) (Jarvelin & Kekalainen 2002).

        The ideal list starts with min(k, relevant) hits.
        """
        ideal: PerUser = np.cumsum(self._discounts)[np.minimum(self.k, self.n_relevant) - 1]
        return self._gain / ideal

    @cached_property
    def ndcg_full(self) -> PerUser:
        """As `ndcg`, but the ideal list starts with all relevant items, even if there are more than k."""
        ideal: PerUser = np.cumsum(self._discounts)[self.n_relevant - 1]
        return self._gain / ideal

    @cached_property
    def recall(self) -> PerUser:
        """(b,) hits / min(k, relevant)."""
        return self._n_hits / np.minimum(self.k, self.n_relevant)

    @cached_property
    def recall_full(self) -> PerUser:
        """(b,) hits / relevant."""
        return self._n_hits / self.n_relevant

    @cached_property
    def precision(self) -> PerUser:
        """(b,) hits / k."""
        return self._n_hits / self.k

    @cached_property
    def hit_rate(self) -> PerUser:
        """(b,) 1 for a list with a hit, else 0."""
        return (self._n_hits > 0).astype(np.float64)

    @cached_property
    def average_precision(self) -> PerUser:
        """(b,) mean over min(k, relevant) of the precision at each hit; the mean over users is MAP."""
        # AP = sum over hits of precision(rank of the hit) / min(k, relevant)
        precision = np.cumsum(self.is_hit, axis=1) / np.arange(1, self.k + 1)
        of_hits: PerUser = (precision * self.is_hit).sum(axis=1)
        return of_hits / np.minimum(self.k, self.n_relevant)

    @cached_property
    def reciprocal_rank(self) -> PerUser:
        """(b,) 1 / rank of the first hit, 0 without a hit; the mean over users is MRR."""
        # `argmax` of booleans is the first hit, or 0 without one.
        return np.where(self._n_hits > 0, 1 / (np.argmax(self.is_hit, axis=1) + 1), 0.0)

    @cached_property
    def novelty(self) -> PerUser:
        """(b,) mean over the shown items of -log2(n_i / n), the self-information of item i, rated by n_i of n users.

        See Zhou et al. 2010; Vargas & Castells 2011. An item without ratings counts as rated by one user.
        """
        surprise = np.log2(max(self.n_raters_in_all, 1) / np.maximum(self.n_raters, 1))
        # The row -1 after the end of a list reads the last item, which the mask then removes.
        is_shown = self.shown >= 0
        novelty: PerUser = (surprise[self.shown] * is_shown).sum(axis=1) / np.maximum(is_shown.sum(axis=1), 1)
        return novelty

    @cached_property
    def gini(self) -> float:
        """Gini coefficient of how often the lists show each of n candidates: 0 if all equally often, 1 if only one.

        With x_1 <= ... <= x_n the number of times each is shown (Shani & Gunawardana 2011),
        G = sum_j (2j - n - 1) x_j / ((n - 1) sum_j x_j).
        """
        n = self.n_candidates
        times_shown = np.unique(self.shown[self.shown >= 0], return_counts=True)[1]
        if n < 2 or not len(times_shown):  # noqa: PLR2004  one candidate alone has no inequality
            return 0.0
        # G = sum_j (2j - n - 1) x_j / ((n - 1) sum_j x_j). Candidates that are never shown come first and add nothing.
        x = np.sort(times_shown)
        j = np.arange(n - len(x) + 1, n + 1)
        return float((2 * j - n - 1) @ x / ((n - 1) * x.sum()))

    @cached_property
    def coverage(self) -> float:
        """Fraction of the candidates that are in at least one list."""
        shown = np.unique(self.shown)
        return np.count_nonzero(shown >= 0) / max(self.n_candidates, 1)


def users_with_relevant(holdout: RatingMatrix, liked_from: float) -> NDArray[np.int64]:
    """Return the (b,) rows of the users with relevant items, ascending; only these can be measured."""
    return np.unique(holdout.user_rows[holdout.values >= liked_from]).astype(np.int64)


def evaluate_ranking(
    score: Score,
    user_rows: NDArray[np.int64],
    train: RatingMatrix,
    holdout: RatingMatrix,
    *,
    liked_from: float,
    k: int,
) -> RankingMetrics:
    """Rank the candidates of each user by `score`.

    `user_rows`: (b,) users, each with a relevant item in `holdout`.

    The lists have length k, or hold all candidates if these are fewer.
    """
    is_candidate = (train.item_counts + holdout.item_counts) > 0
    relevant = holdout.subset(holdout.values >= liked_from).by_user
    k = min(k, max(int(np.count_nonzero(is_candidate)), 1))
    shown = np.full((len(user_rows), k), -1, dtype=np.int64)
    is_hit = np.zeros((len(user_rows), k), dtype=np.bool_)
    # Users are scored in batches, because a matrix of all users and items may not fit into memory.
    n_batch = max(1, _SCORES_PER_BATCH // max(train.n_items, 1))
    # One mask serves all users: setting and clearing a few entries is faster than a new mask of all items.
    is_relevant = np.zeros(train.n_items, dtype=np.bool_)
    for start in range(0, len(user_rows), n_batch):
        users = user_rows[start : start + n_batch]
        # A copy, because learners may return a view of their own arrays.
        scores = np.array(score(users), dtype=np.float32)
        scores[:, ~is_candidate] = -np.inf
        for row, user in enumerate(users):
            scores[row, _row(train.observed, user)] = -np.inf
            best = best_items(scores[row], k)
            liked = _row(relevant, user)
            is_relevant[liked] = True
            shown[start + row, : len(best)] = best
            is_hit[start + row, : len(best)] = is_relevant[best]
            is_relevant[liked] = False
    n_relevant = np.diff(relevant.indptr)[user_rows].astype(np.int64)
    n_candidates, n_raters_in_all = (int(np.count_nonzero(each)) for each in (is_candidate, train.user_counts))
    return RankingMetrics(shown, is_hit, n_relevant, n_candidates, train.item_counts, n_raters_in_all, user_rows)


def best_items(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Positions of the k highest finite `scores` (n,), best first, ties by position."""
    threshold = np.partition(scores, -k)[-k]
    above = np.flatnonzero(scores > threshold)
    equal = np.flatnonzero(scores == threshold)[: k - len(above)]
    best = np.concatenate([above, equal])
    best = best[np.isfinite(scores[best])]
    in_order: NDArray[np.int64] = best[np.lexsort((best, -scores[best]))]
    return in_order


def _row(matrix: object, row: np.int64) -> NDArray[np.int32]:
    starts = matrix.indptr  # type: ignore[attr-defined]  # scipy's stubs do not type CSR of an unnamed shape
    columns: NDArray[np.int32] = matrix.indices[starts[row] : starts[row + 1]]  # type: ignore[attr-defined]  # as above
    return columns
