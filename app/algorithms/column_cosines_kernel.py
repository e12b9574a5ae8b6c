"""The strongest shrunk cosines of each item, compiled: see `column_cosines.py`.

The sums of an item with all others are kept in two arrays of length n_items, which fit the cache of a processor: the
sparse accumulator of F. Gustavson, "Two Fast Algorithms for Sparse Matrices" (1978). Only the strongest are written.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.compiled import compiled

Float32Array = NDArray[np.float32]
Positions = NDArray[np.integer]


class Compressed(NamedTuple):
    """A CSR matrix: row r has the `columns` and `values` from `starts[r]` up to `starts[r + 1]`."""

    starts: Positions
    columns: Positions
    values: Float32Array


class Strongest(NamedTuple):
    """`columns` ascending and `values`, both (n_items, n); the first `lengths`, (n_items,), of each row are filled."""

    columns: NDArray[np.int32]
    values: Float32Array
    lengths: NDArray[np.int64]


@compiled
def strongest_rows(
    first_item: int,
    past_item: int,
    by_item: Compressed,
    by_user: Compressed,
    shrinkage: np.float32,
    strongest: Strongest,
) -> None:
    """Write the rows `first_item` to `past_item` - 1; of equal values, those of lower columns. n is 1 at least."""
    n_items, n = by_item.starts.shape[0] - 1, strongest.columns.shape[1]
    total, n_common = np.zeros(n_items, np.float32), np.zeros(n_items, np.float32)
    touched = np.empty(n_items, np.int32)
    for item in range(first_item, past_item):
        n_touched = 0
        for place in range(by_item.starts[item], by_item.starts[item + 1]):
            user, value = by_item.columns[place], by_item.values[place]
            for other_place in range(by_user.starts[user], by_user.starts[user + 1]):
                other = by_user.columns[other_place]
                if n_common[other] == 0.0:
                    touched[n_touched] = other
                    n_touched += 1
                total[other] += value * by_user.values[other_place]
                n_common[other] += np.float32(1.0)
        others = np.sort(touched[:n_touched])
        shrunk = np.empty(n_touched, np.float32)
        for at in range(n_touched):
            other = others[at]
            # cosine n / (n + shrinkage)
            shrunk[at] = total[other] * (n_common[other] / (n_common[other] + shrinkage))
            if other == item:
                shrunk[at] = np.float32(0.0)  # an item has none with itself
            total[other] = n_common[other] = np.float32(0.0)
        # The n-th largest value; of those equal to it, the first fill the row.
        least = np.partition(shrunk, n_touched - n)[n_touched - n] if n_touched > n else np.float32(0.0)
        n_equal = n - np.count_nonzero(shrunk > least)
        length = 0
        for at in range(n_touched):
            is_kept = shrunk[at] > least
            if not is_kept and shrunk[at] == least and shrunk[at] > 0.0 and n_equal > 0:
                n_equal -= 1
                is_kept = True
            if is_kept:
                strongest.columns[item, length], strongest.values[item, length] = others[at], shrunk[at]
                length += 1
        strongest.lengths[item] = length
