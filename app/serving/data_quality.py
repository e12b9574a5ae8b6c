"""How good the data are that a snapshot was learned from: how many ratings users and items have, and what stands out.

Read from the histories of the snapshot, which hold every rating once, in a single pass over each array.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME
from app.scoring import Scorer

N_GROUPS = 10
N_OUTLIERS = 10
MANY_FACTOR = 20.0
"""A user with so many times the ratings of the median user stands out: a test account, a crawler, several people."""

LEAST_ALIKE = 20
"""Ratings of a user who always gives the same value, from which on that says nothing of a taste."""

MANY_VALUES = 30
"""More distinct values than these, as of amounts, are counted in ranges."""

N_RANGES = 15


@dataclass(frozen=True, slots=True)
class DataQuality:
    """`density`: the share of all pairs of a user and an item that have a rating. `untimed`: the share of ratings
    without a time.

    `values`: as of `ratings_by_value`. `per_user`, `per_item`: upper ends of ranges of numbers of
    ratings, which double, and how many users or items are in each.
    `grid`: (groups of users, groups of items) shares of the pairs that have a rating; the groups are tenths of the
    users and of the items, those with the most ratings first.
    `busiest`: keys of users with very many ratings, and how many. `n_alike`: users who have rated `LEAST_ALIKE` items
    or more, all with the same value.
    """

    n_users: int
    n_items: int
    n_ratings: int
    density: float
    untimed: float
    n_users_of_one: int
    n_items_of_none: int
    n_items_of_one: int
    values: Sequence[tuple[str, int]]
    per_user: Sequence[tuple[int, int]]
    per_item: Sequence[tuple[int, int]]
    grid: NDArray[np.float64]
    busiest: Sequence[tuple[int, int]]
    n_alike: int


def data_quality(scorer: Scorer) -> DataQuality | None:
    """None for a snapshot without ratings. Takes about a second for ten million ratings: for a thread."""
    arrays = scorer.arrays
    rows, values = np.asarray(arrays.history_rows), np.asarray(arrays.history_values)
    if not len(rows):
        return None
    starts, n_items = np.asarray(arrays.history_starts), len(arrays.item_keys)
    of_user = np.diff(starts)
    of_item = np.bincount(rows, minlength=n_items)
    has_ratings = of_user > 0
    n_users = int(np.count_nonzero(has_ratings))
    # Equal to the lowest means that all are the same.
    lowest, highest = (each.reduceat(values, starts[:-1][has_ratings]) for each in (np.minimum, np.maximum))
    is_alike = (lowest == highest) & (of_user[has_ratings] >= LEAST_ALIKE)
    is_busy = of_user > MANY_FACTOR * np.median(of_user[has_ratings])
    busiest = np.flatnonzero(is_busy)[np.argsort(-of_user[is_busy], kind="stable")][:N_OUTLIERS]
    return DataQuality(
        n_users=n_users,
        n_items=n_items,
        n_ratings=len(rows),
        density=len(rows) / (n_users * n_items),
        untimed=float(np.count_nonzero(arrays.history_times == UNKNOWN_TIME)) / len(rows),
        n_users_of_one=int(np.count_nonzero(of_user == 1)),
        n_items_of_none=int(np.count_nonzero(of_item == 0)),
        n_items_of_one=int(np.count_nonzero(of_item == 1)),
        values=ratings_by_value(values),
        per_user=doubling(of_user[has_ratings]),
        per_item=doubling(of_item),
        grid=density_grid(of_user, of_item, rows),
        busiest=[(int(arrays.user_keys[row]), int(of_user[row])) for row in busiest],
        n_alike=int(np.count_nonzero(is_alike)) if values.min() < values.max() else 0,
    )


class RememberedDataQuality:
    """The figures of the snapshot that was asked for last, since they cost a pass over all of its ratings.

    Refers to the snapshot weakly, so that its arrays can be freed.
    """

    def __init__(self) -> None:
        self._last: tuple[ref[Scorer], DataQuality | None] | None = None

    def of(self, scorer: Scorer) -> DataQuality | None:
        """As `data_quality`. May be called by any thread; two at once may both count."""
        last = self._last
        if last is not None and last[0]() is scorer:
            return last[1]
        found = data_quality(scorer)
        self._last = ref(scorer), found
        return found


def ratings_by_value(values: NDArray[np.floating]) -> list[tuple[str, int]]:
    """Each value and how many of the ratings have it, in ascending order; of many values, ranges of equal width."""
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= MANY_VALUES:
        return list(zip(map(_name_of, distinct.tolist()), counts.tolist(), strict=True))
    counts, edges = np.histogram(values, N_RANGES)
    names = [f"{low} to {high}" for low, high in pairwise(map(_name_of, edges.tolist()))]
    return list(zip(names, counts.tolist(), strict=True))


def _name_of(value: float) -> str:
    # Values of a snapshot are in single precision, which has seven digits.
    return repr(float(f"{value:.7g}")).removesuffix(".0")


def doubling(counts: NDArray[np.int64]) -> list[tuple[int, int]]:
    """How many of the counts are 0, 1, 2 to 3, 4 to 7 and so on, by the upper end of each range."""
    # floor(log2 n) + 1 is the number of binary digits of n; 0 has none.
    digits = np.zeros(len(counts), np.int64)
    positive = counts > 0
    digits[positive] = np.floor(np.log2(counts[positive])).astype(np.int64) + 1
    n_of_digits = np.bincount(digits)
    return [((1 << place) - 1, n) for place, n in enumerate(n_of_digits.tolist()) if place or n]


def density_grid(
    of_user: NDArray[np.int64], of_item: NDArray[np.int64], history_rows: NDArray[np.int32]
) -> NDArray[np.float64]:
    """(g, g) share of the pairs of a tenth of the users and a tenth of the items that have a rating.

    `of_user`, `of_item`: numbers of ratings. `history_rows`: the item rows of all ratings, user by user.
    """
    user_group, item_group = _tenths(of_user), _tenths(of_item)
    cells = np.repeat(user_group, of_user) * N_GROUPS + item_group[history_rows]
    counts = np.bincount(cells, minlength=N_GROUPS**2).reshape(N_GROUPS, N_GROUPS)
    pairs = np.outer(np.bincount(user_group, minlength=N_GROUPS), np.bincount(item_group, minlength=N_GROUPS))
    return counts / np.maximum(pairs, 1)


def _tenths(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The tenth that each belongs to by its count, the largest counts first."""
    place = np.empty(len(counts), np.int64)
    place[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return place * N_GROUPS // max(len(counts), 1)
