"""Features that ratings themselves give of users and items: which popular items, how many, how high, of which kind.

The documents feed them to the network of content-based filtering beside age, country, year and genre. They come from
the training part alone; and whoever learns to predict a rating from them must take them from other ratings than that
one (`HistoryFeatures.leaving_out`), or the answer stands among the questions.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.rating_matrix import RatingMatrix

MAX_ITEMS = 500
"""The items most users rated, each a feature of a user."""

MAX_CATEGORIES = 64
"""The columns of the items' features that most ratings are of, each a mean and a share of a user's ratings."""

PRIOR_RATINGS = 5.0
"""Means are drawn towards 0 as if by so many average ratings more."""

N_ITEM_COLUMNS = 2
"""What ratings say of an item, see `HistoryFeatures.items`."""

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]


@dataclass(frozen=True)
class HistoryFeatures:
    """What to say of the histories of users and items.

    `top_items`: (t,) rows. `categories`: (n_items, c) float64 CSR, what each item has of each category. `mean`,
    `scale`: of all ratings, their mean and standard deviation. `user_count`, `item_count`: log(1 + the mean count) of
    ratings of those who have any: what counts are measured by.
    """

    top_items: NDArray[np.int64]
    categories: sparse.csr_array
    mean: float
    scale: float
    user_count: float
    item_count: float

    @classmethod
    def learn(cls, ratings: RatingMatrix, item_features: sparse.csr_array) -> "HistoryFeatures":
        """`item_features`: (n_items, f), of which the most frequent columns are the categories."""
        counts = ratings.item_counts
        top_items = np.argsort(-counts, kind="stable")[:MAX_ITEMS]
        weights = abs(item_features).T @ counts.astype(np.float64)
        kept = np.sort(np.argsort(-weights, kind="stable")[:MAX_CATEGORIES])
        values = ratings.values.astype(np.float64)
        return cls(
            top_items=np.sort(top_items[counts[top_items] > 0]),
            categories=sparse.csr_array(item_features[:, kept].astype(np.float64)),
            mean=float(values.mean()) if len(values) else 0.0,
            scale=(float(values.std()) if len(values) else 0.0) or 1.0,
            user_count=_typical(ratings.user_counts),
            item_count=_typical(counts),
        )

    @property
    def n_user_columns(self) -> int:
        return 2 + 2 * self.categories.shape[1] + len(self.top_items)

    def users(self, ratings: RatingMatrix) -> sparse.csr_array:
        """(n_users, 2 + 2 c + t) float32; a user without ratings has no entries.

        Columns: how far the mean lies from that of all ratings, and the log of the count; for each category the mean
        rating, relative to the user's own, and its share of the ratings; 1/sqrt(n) for each of n top items rated.
        """
        counts, deviations = ratings.user_counts.astype(np.float64), self._deviations(ratings)
        sums = np.bincount(ratings.user_rows, deviations, ratings.n_users)
        relative = deviations - (sums / np.maximum(counts, 1))[ratings.user_rows]
        masses = (_matrix(ratings, np.ones(len(ratings))) @ abs(self.categories)).toarray()
        of_categories = (_matrix(ratings, relative) @ self.categories).toarray() / (masses + PRIOR_RATINGS)
        own = np.stack([sums / (counts + PRIOR_RATINGS), np.log1p(counts) / self.user_count], axis=1)
        top = _matrix(ratings, np.ones(len(ratings)))[:, self.top_items]
        n_top = np.diff(top.indptr)
        top.data = 1 / np.sqrt(np.repeat(n_top, n_top))
        blocks = [*map(sparse.csr_array, (own, of_categories, masses / np.maximum(counts, 1)[:, None])), top]
        return sparse.csr_array(sparse.hstack(blocks, format="csr"), dtype=np.float32)

    def items(self, ratings: RatingMatrix) -> sparse.csr_array:
        """(n_items, 2) float32: how far the mean lies from that of all ratings, and the log of the count."""
        counts = ratings.item_counts.astype(np.float64)
        sums = np.bincount(ratings.item_rows, self._deviations(ratings), ratings.n_items)
        own = np.stack([sums / (counts + PRIOR_RATINGS), np.log1p(counts) / self.item_count], axis=1)
        return sparse.csr_array(own.astype(np.float32))

    def leaving_out(
        self, ratings: RatingMatrix, n_parts: int, rng: np.random.Generator
    ) -> Iterator[tuple[NDArray[np.int64], sparse.csr_array, sparse.csr_array]]:
        """The ratings in parts: positions, and the features of users and items without the ratings of that part."""
        part = rng.permutation(len(ratings)) % n_parts
        for number in range(n_parts):
            others = ratings.subset(part != number)
            yield np.flatnonzero(part == number), self.users(others), self.items(others)

    def _deviations(self, ratings: RatingMatrix) -> Wide:
        return (ratings.values.astype(np.float64) - self.mean) / self.scale


@dataclass(frozen=True)
class UserHistory:
    """Computes one user's row of `HistoryFeatures.users` with numpy alone; a snapshot stores its fields.

    `top_items`: (t,) int32 rows, ascending; `categories`: (n_items, c) float32; the numbers as in `HistoryFeatures`.
    """

    top_items: NDArray[np.int32]
    categories: Floats
    mean: float
    scale: float
    user_count: float

    @classmethod
    def of(cls, history: HistoryFeatures) -> "UserHistory":
        categories = history.categories.astype(np.float32).toarray()
        return cls(history.top_items.astype(np.int32), categories, history.mean, history.scale, history.user_count)

    @property
    def n_columns(self) -> int:
        return 2 + 2 * int(self.categories.shape[1]) + len(self.top_items)

    def features(self, item_rows: NDArray[np.integer], values: NDArray[np.floating]) -> Floats:
        """(2 + 2 c + t,) float32, of the items somebody rated and the ratings, (m,) each; zeros where m is 0."""
        n_ratings = len(item_rows)
        if not n_ratings:
            return np.zeros(self.n_columns, np.float32)
        deviations = (values.astype(np.float64) - self.mean) / self.scale
        relative = deviations - deviations.mean()
        categories = self.categories[item_rows].astype(np.float64)
        masses = np.abs(categories).sum(axis=0)
        own = (deviations.sum() / (n_ratings + PRIOR_RATINGS), np.log1p(n_ratings) / self.user_count)
        of_categories = relative @ categories / (masses + PRIOR_RATINGS)
        top = np.isin(self.top_items, item_rows) / np.sqrt(max(1, np.isin(item_rows, self.top_items).sum()))
        return np.concatenate([own, of_categories, masses / n_ratings, top]).astype(np.float32)


def _typical(counts: NDArray[np.int64]) -> float:
    return float(np.log1p(counts[counts > 0].mean())) if counts.any() else 1.0


def _matrix(ratings: RatingMatrix, entries: Wide) -> sparse.csr_array:
    """(n_users, n_items) with an entry for each rating."""
    return sparse.csr_array((entries, (ratings.user_rows, ratings.item_rows)), shape=(ratings.n_users, ratings.n_items))
