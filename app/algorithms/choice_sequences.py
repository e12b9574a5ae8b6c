"""The choices of every user in order of time: the input of learners of what goes together and of what comes next."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.errors import InvalidRatingsError
from app.algorithms.rating_matrix import UNKNOWN_TIME, RatingMatrix

# A choice counts no more where decay^age falls below this share of the newest one: with decay 0.9 after 44 choices.
# All that is left out weighs 1 % of the whole history.
SMALLEST_DECAY = 1e-2

# Times speak of an order where at least this share of consecutive choices have known times that differ. One tenth is
# low on purpose: whether the order helps is for a held-out part to say, and this only spares fits that cannot.
MIN_ORDERED_SHARE = 0.1


@dataclass(frozen=True)
class ChoiceSequences:
    """n choices of `n_users` among `n_items`, by user, oldest first; each pair occurs once.

    `starts`: (n_users + 1,) int64, where the choices of each user begin.
    `item_rows`: (n,) int32. `weights`: (n,) float32, finite and above 0.
    `times`: (n,) int64 microseconds UTC, `UNKNOWN_TIME` where unknown; ascending for each user.
    """

    n_users: int
    n_items: int
    starts: NDArray[np.int64]
    item_rows: NDArray[np.int32]
    weights: NDArray[np.float32]
    times: NDArray[np.int64]

    @classmethod
    def from_ratings(cls, ratings: RatingMatrix, weights: NDArray[np.floating] | None = None) -> "ChoiceSequences":
        """The ratings that are choices and the positive labels, by (time, input order); unknown times come first.

        Ratings below `chosen_from` are no choices; where all ratings are 0 or 1, the 0s are none.
        `weights`: (m,) one weight for each rating and then for each positive label, 0 for what is no choice; by
        default 1. Weights take the place of the rule on ratings of 0 and 1. Raises `InvalidRatingsError` for another
        number of weights and for weights that are negative or not finite.
        """
        labels = None if ratings.labels is None else ratings.labels.subset(ratings.labels.are_positive)
        is_choice = np.ones(len(ratings), np.bool_)
        if ratings.chosen_from is not None:
            is_choice = ratings.values >= ratings.chosen_from
        elif weights is None and np.isin(ratings.values, (0, 1)).all():
            is_choice = ratings.values == 1
        users, items, times = ratings.user_rows, ratings.item_rows, ratings.times
        if labels is not None:
            is_choice = np.append(is_choice, np.ones(len(labels), np.bool_))
            users, items = np.append(users, labels.user_rows), np.append(items, labels.item_rows)
            times = np.append(times, labels.last_at)
        of_choices = np.ones(len(users), np.float32) if weights is None else np.asarray(weights, np.float32)
        if of_choices.shape != users.shape or not (np.isfinite(of_choices) & (of_choices >= 0)).all():
            raise InvalidRatingsError(f"the weights must be {len(users)} finite numbers of at least 0")
        # `lexsort` is stable: equal times keep the input order. UNKNOWN_TIME sorts before every known time.
        order = np.lexsort((times, users))
        order = order[is_choice[order] & (of_choices[order] > 0)]
        starts = np.concatenate([[0], np.cumsum(np.bincount(users[order], minlength=ratings.n_users))])
        columns = (starts.astype(np.int64), items[order], of_choices[order], times[order])
        return cls(ratings.n_users, ratings.n_items, *columns)

    def __len__(self) -> int:
        return len(self.item_rows)

    def supported(self, least: int) -> tuple[NDArray[np.int64], "ChoiceSequences"]:
        """The rows of the items that at least `least` users chose, ascending, and the choices of these items alone.

        The items of the answer are renumbered: item n is the n-th of the rows. The ages of the choices are those among
        the choices that are left.
        """
        is_supported = np.bincount(self.item_rows, minlength=self.n_items) >= least
        item_rows = np.flatnonzero(is_supported)
        kept = np.flatnonzero(is_supported[self.item_rows])
        row_of = np.cumsum(is_supported, dtype=np.int32) - 1
        starts = np.searchsorted(kept, self.starts)
        columns = (starts, row_of[self.item_rows[kept]], self.weights[kept], self.times[kept])
        return item_rows, ChoiceSequences(self.n_users, len(item_rows), *columns)

    @cached_property
    def user_rows(self) -> NDArray[np.int32]:
        """(n,) int32, the user of each choice."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.starts))

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """(n,) int64, the place of each choice among those of the user, 0 for the last one."""
        return self.starts[1:][self.user_rows] - 1 - np.arange(len(self))

    @cached_property
    def ages(self) -> NDArray[np.int64]:
        """(n,) int64, the number of strictly newer choices of the user: choices of one time share an age."""
        is_last = np.ones(len(self), np.bool_)  # of its user and time
        is_last[:-1] = (self.user_rows[1:] != self.user_rows[:-1]) | (self.times[1:] != self.times[:-1])
        # Each choice takes the place of the last one of its user and time, which stands at or after it.
        last = np.where(is_last, np.arange(len(self)), len(self))
        return self.places[np.minimum.accumulate(last[::-1])[::-1]]

    @cached_property
    def has_order(self) -> bool:
        """Whether a share of `MIN_ORDERED_SHARE` of all pairs of consecutive choices have known times that differ."""
        is_same_user = self.user_rows[1:] == self.user_rows[:-1]
        # Times ascend, so where they differ the later one is known; the earlier one must be known as well.
        is_ordered = (self.times[1:] != self.times[:-1]) & (self.times[:-1] != UNKNOWN_TIME)
        n_pairs = int(is_same_user.sum())
        return n_pairs > 0 and int((is_ordered & is_same_user).sum()) >= MIN_ORDERED_SHARE * n_pairs

    def decayed(self, decay: float = 1.0, n_newest: int | None = None) -> sparse.csr_array:
        """(n_users, n_items) CSR float32 with sorted indices: weight decay^age.

        Entries with decay^age < `SMALLEST_DECAY` are left out, and where `n_newest` is given, all but that many of the
        last choices of each user, of equal times those of the lowest rows.
        """
        is_kept = self.ages < max_lag(decay)
        if n_newest is not None and len(self) and self.places.max() >= n_newest:
            is_kept &= self._are_newest(n_newest)
        kept = np.flatnonzero(is_kept)
        # h_uj = w_uj decay^age(j)
        values = (self.weights[kept] * decay ** self.ages[kept]).astype(np.float32)
        starts = np.searchsorted(kept, self.starts)
        histories = sparse.csr_array((values, self.item_rows[kept], starts), shape=(self.n_users, self.n_items))
        histories.sort_indices()
        return histories

    def _are_newest(self, n: int) -> NDArray[np.bool_]:
        """Whether each choice is among the newest n of its user, in the order in which snapshots store histories."""
        # Newest first, equal times by row: one user's history is cut in this order as well.
        order = np.lexsort((self.item_rows, ~self.times, self.user_rows))
        are_newest = np.empty(len(self), np.bool_)
        are_newest[order] = np.arange(len(self)) - self.starts[self.user_rows] < n
        return are_newest


def decayed_weights(times: NDArray[np.int64] | None, n: int, decay: float) -> NDArray[np.float32]:
    """(n,) float32, decay^age of n choices of one user, newest first, as `ChoiceSequences.decayed` gives them for all.

    `times`: (n,) int64, newest first; None: all of different times.
    """
    ages = np.arange(n)
    if times is not None:
        # A choice of the same time as the one before it has the age of the first choice of that time.
        ages[1:][times[1:] == times[:-1]] = 0
        ages = np.maximum.accumulate(ages)
    weights = (decay**ages).astype(np.float32)
    weights[ages >= max_lag(decay)] = 0.0
    return weights


def max_lag(decay: float) -> int:
    """The age from which on decay^age < `SMALLEST_DECAY`; more than any history is long where decay is 1."""
    if decay >= 1:
        return int(np.iinfo(np.int32).max)
    return int(np.ceil(np.log(SMALLEST_DECAY) / np.log(decay))) if decay > 0 else 1
