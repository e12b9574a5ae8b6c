"""Features of users and items computed from ratings: which popular items, how many ratings, how high, of which kind.

The two-tower learner uses them with attributes such as country, year and genre. They are computed from training
ratings alone. A learner that predicts a rating from them must compute them without that rating
(`HistoryFeatures.leaving_out`); otherwise the target leaks into its own features.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.rating_matrix import RatingMatrix

# The items with the most ratings; having rated one is a feature of a user.
MAX_ITEMS = 500

# The item feature columns with the most ratings; a user's mean rating and share of ratings in each are features.
MAX_CATEGORIES = 64

# Means are shrunk towards 0 as if by this many average ratings.
PRIOR_RATINGS = 5.0

# The number of columns of `HistoryFeatures.items`.
N_ITEM_COLUMNS = 2

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class HistoryFeatures:
    """The definition of the features, from one set of ratings; applies to any ratings of the same items.

    `top_items`: (t,) int64 ascending item rows. `categories`: (n_items, c) float64 CSR, the selected item features.
    `mean`, `scale`: mean and standard deviation of all ratings.
    `user_count`, `item_count`: log(1 + mean number of ratings) over rows with ratings, the unit of log counts.
    """

    top_items: NDArray[np.int64]
    categories: sparse.csr_array
    mean: float
    scale: float
    user_count: float
    item_count: float

    @classmethod
    def from_ratings(cls, ratings: RatingMatrix, item_features: sparse.csr_array) -> "HistoryFeatures":
        """`item_features`: (n_items, f) CSR; the columns with the most ratings become the categories."""
        counts = ratings.item_counts
        top_items = np.argsort(-counts, kind="stable")[:MAX_ITEMS]
        weights = abs(item_features).T @ counts.astype(np.float64)
        # Stable sorts, so that equal counts are chosen in the same way on every machine.
        selected = np.sort(np.argsort(-weights, kind="stable")[:MAX_CATEGORIES])
        values = ratings.values.astype(np.float64)
        return cls(
            top_items=np.sort(top_items[counts[top_items] > 0]),
            categories=sparse.csr_array(item_features[:, selected].astype(np.float64)),
            mean=float(values.mean()) if len(values) else 0.0,
            scale=(float(values.std()) if len(values) else 0.0) or 1.0,
            user_count=_log_mean_count(ratings.user_counts),
            item_count=_log_mean_count(counts),
        )

    @property
    def n_user_columns(self) -> int:
        """The number of columns of `users`."""
        return 2 + 2 * self.categories.shape[1] + len(self.top_items)

    def users(self, ratings: RatingMatrix) -> sparse.csr_array:
        """(n_users, 2 + 2 c + t) float32 CSR; a user without ratings has no entries.

        Columns: the shrunk mean rating minus that of all ratings; the log count; per category the shrunk mean rating
        relative to the user's own mean; per category its share of the ratings; 1/sqrt(n) for each of n rated top items.
        """
        counts, deviations = ratings.user_counts.astype(np.float64), self._deviations(ratings)
        sums = np.bincount(ratings.user_rows, deviations, ratings.n_users)
        # Relative to the user's own mean, so that generous users do not seem to prefer every category.
        relative = deviations - (sums / np.maximum(counts, 1))[ratings.user_rows]
        masses = (_matrix(ratings, np.ones(len(ratings))) @ abs(self.categories)).toarray()
        # Entries of `categories` may be negative (standardised numbers), so the mass adds up absolute values.
        of_categories = (_matrix(ratings, relative) @ self.categories).toarray() / (masses + PRIOR_RATINGS)
        # sum / (m + prior), the shrunk mean, and log(1 + m) in units of its typical value
        own = np.stack([sums / (counts + PRIOR_RATINGS), np.log1p(counts) / self.user_count], axis=1)
        top = _matrix(ratings, np.ones(len(ratings)))[:, self.top_items]
        # 1/sqrt(n) gives the block unit length for every user, as in `encoding.py`.
        n_top = np.diff(top.indptr)
        top.data = 1 / np.sqrt(np.repeat(n_top, n_top))
        blocks = [*map(sparse.csr_array, (own, of_categories, masses / np.maximum(counts, 1)[:, None])), top]
        return sparse.csr_array(sparse.hstack(blocks, format="csr"), dtype=np.float32)

    def items(self, ratings: RatingMatrix) -> sparse.csr_array:
        """(n_items, 2) float32 CSR: the shrunk mean rating minus that of all ratings, and the log count."""
        counts = ratings.item_counts.astype(np.float64)
        sums = np.bincount(ratings.item_rows, self._deviations(ratings), ratings.n_items)
        own = np.stack([sums / (counts + PRIOR_RATINGS), np.log1p(counts) / self.item_count], axis=1)
        return sparse.csr_array(own.astype(np.float32))

    def leaving_out(
        self, ratings: RatingMatrix, n_parts: int, rng: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.int64], sparse.csr_array, sparse.csr_array]]:
        """Random parts of the ratings: their positions, and the features of users and items from all other parts."""
        # A random partition into parts of equal size, up to one rating
        part = rng.permutation(len(ratings)) % n_parts
        for number in range(n_parts):
            remaining = ratings.subset(part != number)
            yield np.flatnonzero(part == number), self.users(remaining), self.items(remaining)

    def _deviations(self, ratings: RatingMatrix) -> Float64Array:
        return (ratings.values.astype(np.float64) - self.mean) / self.scale


@dataclass(frozen=True)
class UserHistory:
    """Computes one row of `HistoryFeatures.users`; a snapshot stores its fields.

    `top_items`: (t,) int32 ascending item rows. `categories`: (n_items, c) float32, dense.
    `mean`, `scale`, `user_count`: as in `HistoryFeatures`.
    """

    top_items: NDArray[np.int32]
    categories: Float32Array
    mean: float
    scale: float
    user_count: float

    @classmethod
    def from_history_features(cls, history: HistoryFeatures) -> "UserHistory":
        # Dense: on the request path, row lookups in a dense array cost less than in a CSR matrix.
        categories = history.categories.astype(np.float32).toarray()
        return cls(history.top_items.astype(np.int32), categories, history.mean, history.scale, history.user_count)

    @property
    def n_columns(self) -> int:
        """The number of features: 2 + 2 c + t."""
        return 2 + 2 * int(self.categories.shape[1]) + len(self.top_items)

    def features(self, item_rows: NDArray[np.integer], values: NDArray[np.floating]) -> Float32Array:
        """(2 + 2 c + t,) float32 from the rated items and the ratings of a user, (m,) each; 0 where m is 0."""
        n_ratings = len(item_rows)
        if not n_ratings:
            return np.zeros(self.n_columns, np.float32)
        # The same formulas as `HistoryFeatures.users`, for one user.
        deviations = (values.astype(np.float64) - self.mean) / self.scale
        relative = deviations - deviations.mean()
        categories = self.categories[item_rows].astype(np.float64)
        # The mass of a category: how many of the ratings belong to it
        masses = np.abs(categories).sum(axis=0)
        own = (deviations.sum() / (n_ratings + PRIOR_RATINGS), np.log1p(n_ratings) / self.user_count)
        of_categories = relative @ categories / (masses + PRIOR_RATINGS)
        top = np.isin(self.top_items, item_rows) / np.sqrt(max(1, np.isin(item_rows, self.top_items).sum()))
        return np.concatenate([own, of_categories, masses / n_ratings, top]).astype(np.float32)


def _log_mean_count(counts: NDArray[np.int64]) -> float:
    """log(1 + mean count) over rows with ratings; 1 where there are none."""
    return float(np.log1p(counts[counts > 0].mean())) if counts.any() else 1.0


def _matrix(ratings: RatingMatrix, entries: Float64Array) -> sparse.csr_array:
    """(n_users, n_items) CSR with one of `entries` for each rating."""
    return sparse.csr_array((entries, (ratings.user_rows, ratings.item_rows)), shape=(ratings.n_users, ratings.n_items))
