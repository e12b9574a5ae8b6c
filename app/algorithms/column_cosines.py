"""The cosine of two items' columns of ratings, shrunk by how many users rated both: what is chosen together.

    together(i, j) = cos(x_i, x_j) n_ij / (n_ij + shrinkage),   cos(x_i, x_j) = sum_u x_ui x_uj / (|x_i| |x_j|)

with n_ij the number of users who have both. Two items of one common user have a cosine near 1 by chance; the factor
takes most of it away (B. Sarwar et al., "Item-Based Collaborative Filtering Recommendation Algorithms", 2001; the
factor: Y. Koren, "Factorization Meets the Neighborhood", 2008).

Only users with both items add to a sum, so the products are sparse. Of a user with more than `MAX_CHOICES` items, that
many count: the work grows with the square of their number.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.cores import available_cores, thread_pool
from app.algorithms.rating_matrix import RatingMatrix

MAX_CHOICES = 3_000
"""Items of one user that count, the newest of them."""

ROWS_PER_TASK = 64
"""Items that a thread takes at a time: popular ones take far longer than others."""

WORST = 0.1
"""What the lowest value of a scale counts, where the highest counts 1."""


class Cosines(NamedTuple):
    """Of b items with all items: CSR matrices (b, n_items) of the same entries, float32, sorted indices.

    `values`: cosines, > 0. `n_common`: users who have both.
    """

    values: sparse.csr_array
    n_common: sparse.csr_array

    def shrunk(self, shrinkage: float) -> sparse.csr_array:
        """(b, n_items) CSR float32, cosine n / (n + shrinkage)."""
        n = self.n_common.data
        shape, indices, starts = self.values.shape, self.values.indices, self.values.indptr
        return sparse.csr_array((self.values.data * (n / (n + np.float32(shrinkage))), indices, starts), shape=shape)


@dataclass(frozen=True)
class ColumnCosines:
    """The columns of ratings of all items.

    `columns`: (n_items, n_users) CSR float32, every row of length 1 or without entries, all entries > 0.
    `observed`: the same entries, each 1.
    """

    columns: sparse.csr_array
    observed: sparse.csr_array

    @classmethod
    def from_ratings(cls, ratings: RatingMatrix, minimum: float, maximum: float) -> "ColumnCosines":
        """Ratings and positive labels, a rating by its place on the scale `minimum` .. `maximum`: 0.1 for the lowest,
        1 for the highest. Strengths of choices, which are no grades, count as they are.

        Where `chosen_from` says that lower ratings are negatives, they are left out.
        """
        chosen = ratings if ratings.labels is None else ratings.with_positive(ratings.labels.counts_as)
        if ratings.chosen_from is not None:
            chosen = chosen.subset(chosen.values >= ratings.chosen_from)
        values = chosen.values.astype(np.float64)
        if ratings.is_graded and maximum > minimum:
            values = WORST + (1 - WORST) * ((values - minimum) / (maximum - minimum)).clip(0, 1)
        is_kept = (values > 0) & _are_newest(chosen, ratings.rated_at)
        users, items = chosen.user_rows[is_kept], chosen.item_rows[is_kept]
        shape = (ratings.n_items, ratings.n_users)
        lengths = np.sqrt(np.bincount(items, values[is_kept] ** 2, ratings.n_items))
        entries = (values[is_kept] / lengths[items]).astype(np.float32)
        places = (items, users)
        ones = np.ones(len(entries), np.float32)
        return cls(sparse.csr_array((entries, places), shape=shape), sparse.csr_array((ones, places), shape=shape))

    @property
    def n_items(self) -> int:
        return int(self.columns.shape[0])

    # A product with `.T` would convert the whole matrix anew for every block of items.

    @cached_property
    def _columns_by_user(self) -> sparse.csr_array:
        return self.columns.T.tocsr()

    @cached_property
    def _observed_by_user(self) -> sparse.csr_array:
        return self.observed.T.tocsr()

    def of(self, item_rows: NDArray[np.integer]) -> Cosines:
        """The cosines of b items, (b,) rows, with all others; an item has none with itself."""
        by_user = (self._columns_by_user, self._observed_by_user)
        pairs = zip((self.columns, self.observed), by_user, strict=True)
        values, n_common = (of_all[item_rows] @ transposed for of_all, transposed in pairs)
        return Cosines(_without(values, item_rows), _without(n_common, item_rows))

    def strongest(self, shrinkage: float, n_entries: int, *, n_threads: int | None = None) -> sparse.csr_array:
        """(n_items, n_items) CSR float32 with sorted indices: the `n_entries` largest of each row, shrunk.

        Equal ones by column. `n_entries`: 1 at least. `n_threads`: by default the number of cores; the result does not
        depend on it.
        """
        # numba takes a second to import, which processes that never fit must not pay; hence not at the top.
        from app.algorithms.column_cosines_kernel import Compressed, Strongest, strongest_rows

        n_items, n = self.n_items, min(n_entries, self.n_items)
        by_item, by_user = (
            Compressed(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data)
            for matrix in (self.columns, self._columns_by_user)
        )
        rows = Strongest(
            np.empty((n_items, n), np.int32), np.empty((n_items, n), np.float32), np.zeros(n_items, np.int64)
        )
        bounds = [*range(0, n_items, ROWS_PER_TASK), n_items]
        with thread_pool(n_threads or (available_cores() if n_items > ROWS_PER_TASK else 1)) as pool:
            tasks = [
                pool.submit(strongest_rows, first, past, by_item, by_user, np.float32(shrinkage), rows)
                for first, past in itertools.pairwise(bounds)
            ]
            for task in tasks:
                task.result()
        is_filled = np.arange(n) < rows.lengths[:, None]
        starts = np.concatenate([[0], np.cumsum(rows.lengths)])
        return sparse.csr_array((rows.values[is_filled], rows.columns[is_filled], starts), shape=(n_items, n_items))


def _are_newest(chosen: RatingMatrix, rated_at: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """(n,) which ratings are among the `MAX_CHOICES` newest of their user; labels count as the newest."""
    if chosen.user_counts.max(initial=0) <= MAX_CHOICES:
        return np.ones(len(chosen), np.bool_)
    times = np.full(len(chosen), np.iinfo(np.int64).max)
    if rated_at is not None and len(rated_at) <= len(chosen):
        times[: len(rated_at)] = rated_at
    order = np.lexsort((~times, chosen.user_rows))
    places = np.arange(len(order)) - (np.cumsum(chosen.user_counts) - chosen.user_counts)[chosen.user_rows[order]]
    are_newest = np.empty(len(order), np.bool_)
    are_newest[order] = places < MAX_CHOICES
    return are_newest


def _without(products: sparse.csr_array, own_rows: NDArray[np.integer]) -> sparse.csr_array:
    """The products, without those of each item with itself, with sorted indices."""
    products.sort_indices()
    rows = np.repeat(np.arange(products.shape[0]), np.diff(products.indptr))
    is_other = products.indices != own_rows[rows]
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows[is_other], minlength=products.shape[0]))])
    return sparse.csr_array((products.data[is_other], products.indices[is_other], starts), shape=products.shape)
