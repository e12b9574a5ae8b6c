"""Counts of choices that fade with time, and how fast they fade best: popularity of late.

    n_i = sum over choices of i of 2^(-(newest - t) / half-life)

A choice is a rating that is not low, or a positive label: counting all ratings would make popular what many rate low.

Ages are measured from the newest choice in the data and never from the clock, so equal data give equal counts.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import UNKNOWN_TIME, RatingMatrix
from app.algorithms.storage import IN_MEMORY, Storage, add_rows, count_rows, filled, spans

DAY = 86_400_000_000
"""Microseconds. It is also the shortest half-life: a shorter one would learn the hours at which people are awake."""

LENGTH_STEP = 4
"""From one half-life that is tried to the next. Lists hardly change where a half-life changes by less."""

NEWEST_SHARE = 0.2
"""The choices that are foretold: the newest ones."""

MAX_FORETOLD = 1000
"""Choices that are foretold, at most. Each costs one pass over all items."""

K = 10
"""Length of the lists of popular items."""

MAX_DOUBLINGS = 500.0
"""The largest exponent of a weight: sums of 2^500 do not overflow."""

TWO_STANDARD_ERRORS = 2.0
"""Standard errors that the gain of a half-life must exceed."""

WRONG_CLOCKS = 0.001
"""The share of times, at least one, that may lie in the future by mistake."""

Rows = NDArray[np.int32]


@dataclass(frozen=True)
class DatedChoices:
    """n choices, in any order.

    `user_rows`, `item_rows`: (n,) int32.
    `times`: (n,) int64 microseconds; unknown ones count as the oldest known one, and all as 0 where none is known.
    """

    n_items: int
    user_rows: Rows
    item_rows: Rows
    times: NDArray[np.int64]
    storage: Storage = IN_MEMORY

    @classmethod
    def from_ratings(cls, ratings: RatingMatrix) -> Self:
        """The ratings that are not low and the positive labels."""
        if ratings.storage is not IN_MEMORY:
            return cls._stored(ratings.at_least(ratings.low_below))
        is_chosen = ratings.values >= ratings.low_below
        columns = [(ratings.user_rows[is_chosen], ratings.item_rows[is_chosen], ratings.times[is_chosen])]
        if ratings.labels is not None:
            positive = ratings.labels.subset(ratings.labels.are_positive)
            columns.append((positive.user_rows, positive.item_rows, positive.last_at))
        user_rows, item_rows, times = (np.concatenate(column) for column in zip(*columns, strict=True))
        known = times[times != UNKNOWN_TIME]
        if not len(known):
            return cls(ratings.n_items, user_rows, item_rows, np.zeros(len(times), np.int64))
        # A single wrong clock would age all other choices, so the last 1 in 1000 count as new as the one before them.
        n_ahead = max(1, int(WRONG_CLOCKS * len(known))) if len(known) > 1 else 0
        newest = np.partition(known, len(known) - 1 - n_ahead)[len(known) - 1 - n_ahead]
        return cls(ratings.n_items, user_rows, item_rows, times.clip(known.min(), newest))

    @classmethod
    def _stored(cls, chosen: RatingMatrix) -> Self:
        """As `from_ratings`, of choices outside of memory."""
        storage, n, times = chosen.storage, len(chosen), chosen.times

        def known(span: slice) -> NDArray[np.int64]:
            part: NDArray[np.int64] = times[span]
            return np.compress(part != UNKNOWN_TIME, part)

        n_known = sum(len(known(span)) for span in spans(n, storage))
        if not n_known:
            dated = filled(n, np.int64, lambda span: np.zeros(span.stop - span.start, np.int64), storage)
            return cls(chosen.n_items, chosen.user_rows, chosen.item_rows, dated, storage)
        n_ahead = max(1, int(WRONG_CLOCKS * n_known)) if n_known > 1 else 0
        # The newest so far, one more than may lie ahead; the oldest of them is the newest that counts.
        newest, oldest = np.empty(0, np.int64), np.iinfo(np.int64).max
        for span in spans(n, storage):
            part = np.concatenate([newest, known(span)])
            oldest = min(oldest, int(part.min(initial=oldest)))
            newest = np.partition(part, len(part) - 1 - n_ahead)[-1 - n_ahead :] if len(part) > n_ahead else part
        dated = filled(n, np.int64, lambda span: times[span].clip(oldest, newest.min()), storage)
        return cls(chosen.n_items, chosen.user_rows, chosen.item_rows, dated, storage)

    def counts(self, half_life_days: float | None) -> NDArray[np.float64]:
        """(n_items,), the decayed count of each item; None: all choices count alike."""
        if half_life_days is None or not len(self.times):
            return count_rows(self.item_rows, self.n_items, self.storage).astype(np.float64)
        newest = max(int(self.times[span].max()) for span in spans(len(self.times), self.storage))

        def weights(span: slice) -> NDArray[np.float64]:
            aged: NDArray[np.float64] = np.exp2((self.times[span] - newest) / (half_life_days * DAY))
            return aged

        # n_i = sum over choices of i of 2^(-(newest - t) / half-life)
        return add_rows(self.item_rows, self.n_items, weights, self.storage)

    @property
    def half_lives(self) -> list[float]:
        """The half-lives that are tried, in days: from half of the time that the data span down to about a day."""
        longest = float(np.ptp(self.times)) / DAY / 2 if len(self.times) else 0.0
        # longest / 4^n >= 1 day
        n = int(np.log(longest) / np.log(LENGTH_STEP)) + 1 if longest >= 1 else 0
        return [longest / LENGTH_STEP**step for step in range(n)]

    def by_time(self) -> tuple[Self, int]:
        """The same choices, older ones in any order, then the newest from the returned position on, oldest first."""
        # Only the newest are sorted: all of five million would take longer than what they are sorted for.
        first = int((1 - NEWEST_SHARE) * len(self.times))
        is_new = self.times >= np.partition(self.times, first)[first]
        new, old = np.flatnonzero(is_new), np.flatnonzero(~is_new)
        order = np.concatenate([old, new[np.argsort(self.times[new], kind="stable")]])
        return replace(
            self, user_rows=self.user_rows[order], item_rows=self.item_rows[order], times=self.times[order]
        ), len(old)


class HalfLife(NamedTuple):
    """How well decayed counts foretell choices.

    `days`: the half-life with the highest nDCG, None where no time says anything.
    `ndcg`, `ndcg_undecayed`: mean nDCG@10 over users by decayed counts and by plain ones.
    `is_better`: decayed counts are better, by more than two standard errors.
    `n_tried`: half-lives compared.
    """

    days: float | None = None
    ndcg: float = 0.0
    ndcg_undecayed: float = 0.0
    is_better: bool = False
    n_tried: int = 0


def find_half_life(ratings: RatingMatrix) -> HalfLife:
    """The half-life whose counts foretell the newest choices best, each by nothing but the choices before it."""
    choices = DatedChoices.from_ratings(ratings)
    if not (lengths := choices.half_lives):
        return HalfLife()
    ndcg = foretell(choices, [np.inf, *lengths])
    plain, decayed = ndcg[0], ndcg[1:]
    best = int(decayed.mean(axis=1).argmax())
    gains = decayed[best] - plain
    # The best of several lengths wins by chance alone if it need only be ahead: mean gain > 2 s / sqrt(n).
    doubt = TWO_STANDARD_ERRORS * gains.std(ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else np.inf
    return HalfLife(
        lengths[best], float(decayed[best].mean()), float(plain.mean()), bool(gains.mean() > doubt), len(lengths)
    )


def foretell(choices: DatedChoices, half_lives: list[float]) -> NDArray[np.float64]:
    """(h, b) nDCG@10 of h lists of popular items, for the b users of the newest choices.

    For each of the newest choices, items are ranked by their counts at that moment, without those that the user chose
    before. A split by users cannot compare half-lives: its training part holds choices of other users that are newer
    than what it holds out, while a service knows the past alone. Choices at the same time do not count for each other.
    """
    choices, first = choices.by_time()
    new_times = choices.times[first:]
    # Evenly spaced: nothing is drawn, so that the half-life depends on the data alone.
    n_foretold = min(MAX_FORETOLD, len(new_times))
    foretold = np.unique(np.linspace(first, len(choices.times) - 1, n_foretold).astype(np.int64))
    n_before = first + np.searchsorted(new_times, choices.times[foretold])
    own_items = _own_items(choices, foretold, n_before)
    gains = [_gains(choices, foretold, n_before, own_items, half_life * DAY) for half_life in half_lives]
    _, users = np.unique(choices.user_rows[foretold], return_inverse=True)
    return np.stack([np.bincount(users, gain) for gain in gains]) / np.bincount(users)


def _own_items(choices: DatedChoices, foretold: NDArray[np.int64], n_before: NDArray[np.int64]) -> list[Rows]:
    """What the user of each foretold choice had chosen before it."""
    users = choices.user_rows[foretold]
    known = np.flatnonzero(np.isin(choices.user_rows, users))
    known = known[np.argsort(choices.user_rows[known], kind="stable")]
    starts, ends = (np.searchsorted(choices.user_rows[known], users, side) for side in ("left", "right"))
    of_users = [known[start:end] for start, end in zip(starts, ends, strict=True)]
    return [choices.item_rows[own[own < n]] for own, n in zip(of_users, n_before, strict=True)]


def _gains(
    choices: DatedChoices,
    foretold: NDArray[np.int64],
    n_before: NDArray[np.int64],
    own_items: list[Rows],
    half_life: float,
) -> NDArray[np.float64]:
    """(m,) nDCG@10 of the list at each foretold choice; `half_life` in microseconds."""
    # Only ratios of counts matter. Newer choices count more than 1, measured from a base, so that a step of time costs
    # nothing; the base moves before the numbers overflow.
    base, n_counted = choices.times[foretold[0]], 0
    counts, gains = np.zeros(choices.n_items), np.zeros(len(foretold))
    for place, position in enumerate(foretold):
        if (choices.times[position] - base) / half_life > MAX_DOUBLINGS:
            counts *= np.exp2((base - choices.times[position]) / half_life)
            base = choices.times[position]
        # n_i = sum over choices of i of 2^((t - base) / half-life)
        new = slice(n_counted, n_before[place])
        weights = np.exp2((choices.times[new] - base) / half_life)
        if place == 0:
            counts += np.bincount(choices.item_rows[new], weights, choices.n_items)
        else:
            np.add.at(counts, choices.item_rows[new], weights)
        n_counted = n_before[place]
        # Equal counts are ordered by item. rank = items ahead - the user's own among them
        item, own = choices.item_rows[position], own_items[place]
        count, own_counts = counts[item], counts[own]
        n_ahead = np.count_nonzero(counts > count) + np.count_nonzero(counts[:item] == count)
        rank = n_ahead - np.count_nonzero((own_counts > count) | ((own_counts == count) & (own < item)))
        # nDCG of a list with one right item: 1 / log2(rank + 2), rank counted from 0
        gains[place] = 1 / np.log2(rank + 2) if rank < K else 0.0
    return gains
