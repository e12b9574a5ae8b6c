"""The baseline `recent`: what was chosen most of late. On fast catalogues it is hard to beat under a split by time.

Y. Ji, A. Sun, J. Zhang, C. Li, "A Re-visit of the Popularity Baseline in Recommender Systems" (SIGIR 2020).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import UNKNOWN_TIME, RatingMatrix

_NEWEST = 0.2
"""The share of the ratings on which the windows are compared, as for the inner split of a training run."""

_UNITS = (("days", 86_400_000_000), ("hours", 3_600_000_000), ("seconds", 1_000_000))
"""Name -> microseconds."""

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RecentLearner:
    """Recommends the items with the most ratings in a trailing window before the newest rating, to every user.

    The windows to choose from are the whole span of the times and its halves, quarters, eighths and so on, down to a
    window with one rating. Each is tried at the instant after which about the newest fifth of the ratings follow: of
    the counts in the window before this instant, the mean of 1 / log2(1 + rank) over the items rated after it. The best
    window is then moved to the newest rating; of equally good ones, the longest is taken.

    Items with equal counts in the window are ordered by their counts in all ratings. Ratings without a time are in no
    window. Where the times are unknown, or too few differ for this comparison, all ratings count.
    """

    def fit(self, ratings: RatingMatrix, _rng: np.random.Generator, _progress: ProgressCallback = ignore) -> "Recent":
        is_timed = ratings.times != UNKNOWN_TIME
        # Sorted by time, so that a window is a range.
        order = np.flatnonzero(is_timed)[np.argsort(ratings.times[is_timed], kind="stable")]
        times, items = ratings.times[order], ratings.item_rows[order]
        window = _best_window(times, items, ratings.n_items)
        counts = ratings.item_counts if window is None else _counts(times, items, len(times), window, ratings.n_items)
        return Recent(_as_scores(counts, ratings.item_counts), window)


@dataclass(frozen=True, slots=True)
class Recent:
    """`item_scores`: (n_items,) float32. `window`: its length in microseconds; None if all ratings count."""

    item_scores: NDArray[np.float32]
    window: int | None

    @property
    def remark(self) -> str:
        """The chosen window, for the report."""
        if self.window is None:
            return "counts all ratings: their times are unknown, or too few to compare windows"
        return f"counts the last {_duration(self.window)} of the training part"

    def scores(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        return np.broadcast_to(self.item_scores, (len(user_rows), len(self.item_scores)))

    def scores_of(self, histories: RatingMatrix) -> NDArray[np.float32]:
        return np.broadcast_to(self.item_scores, (histories.n_users, len(self.item_scores)))


def _best_window(times: NDArray[np.int64], items: NDArray[np.int32], n_items: int) -> int | None:
    """Return the length of the best window in microseconds; None if no border lies between two instants.

    `times`: (n,) ascending. `items`: (n,) the items rated at these times.
    """
    if not len(times) or times[0] == times[-1]:
        return None
    # The border lies between two instants.
    border = int(np.searchsorted(times, times[int((1 - _NEWEST) * len(times))]))
    if border == 0:
        return None
    following = np.bincount(items[border:], minlength=n_items)
    in_all = np.bincount(items[:border], minlength=n_items)
    best, best_gain = None, -np.inf
    window = int(times[-1] - times[0]) + 1
    while window >= 1:
        counts = _counts(times, items, border, window, n_items)
        # rank of every item in the list of this window, from 1
        rank = n_items - _as_scores(counts, in_all)
        gain = float(following @ (1 / np.log2(1.0 + rank)))
        if gain > best_gain:
            best, best_gain = window, gain
        if counts.sum() <= 1:
            break
        window //= 2
    return best


def _counts(times: NDArray[np.int64], items: NDArray[np.int32], end: int, window: int, n_items: int) -> Counts:
    """Return (n_items,) ratings of each item among the first `end` in the window that ends with the last of them."""
    start = np.searchsorted(times[:end], times[end - 1] - window, side="right")
    return np.bincount(items[start:end], minlength=n_items)


def _as_scores(counts: Counts, in_all: Counts) -> NDArray[np.float32]:
    """Return (n_items,) float32: n_items - 1 for the item with the highest count, down to 0, which is exact."""
    scores = np.empty(len(counts), np.float32)
    # Ties by the counts in all ratings, then by item order.
    scores[np.lexsort((-in_all, -counts))] = np.arange(len(counts) - 1, -1, -1)
    return scores


def _duration(microseconds: int) -> str:
    """Return a duration in the largest unit of which it holds at least one."""
    unit, size = next((each for each in _UNITS if microseconds >= each[1]), _UNITS[-1])
    n = microseconds / size
    return f"{n:,.0f} {unit}" if n >= 10 else f"{n:.2g} {unit}"  # noqa: PLR2004  two digits are enough
