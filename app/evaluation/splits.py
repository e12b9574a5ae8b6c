"""Splits of ratings into a training and a test part, as masks over the ratings in input order."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.entities import UNKNOWN_TIME
from app.errors import InvalidInputError

# 0.8 n is rounded down. The product of floats may be slightly less than a whole number.
_ROUNDING = 1e-9

Mask = NDArray[np.bool_]


def hold_out_latest(
    user_rows: NDArray[np.integer], rated_at: NDArray[np.int64], fraction: float, rng: np.random.Generator
) -> Mask:
    """Return the (n,) mask of the newest `fraction` of every user's ratings.

    The first floor((1 - fraction) n) ratings of each user by (time, input order) are the training part, the rest is the
    test part. Ratings without a time come first, in an order drawn from `rng`.
    """
    place, counts = _places(user_rows, rated_at, rng)
    # The training part of user u has floor((1 - fraction) n_u) ratings.
    n_learned = np.floor((1 - fraction) * counts + _ROUNDING).astype(np.int64)
    is_held_out: Mask = place >= n_learned[user_rows]
    return is_held_out


def leave_one_out(user_rows: NDArray[np.integer], rated_at: NDArray[np.int64], rng: np.random.Generator) -> Mask:
    """Return the (n,) mask of the newest rating of every user with two or more, in the order of `hold_out_latest`."""
    place, counts = _places(user_rows, rated_at, rng)
    is_held_out: Mask = (place == counts[user_rows] - 1) & (place > 0)
    return is_held_out


def _places(
    user_rows: NDArray[np.integer], rated_at: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the (n,) position of each rating among those of its user, oldest first, and the (n_users,) counts."""
    n = len(user_rows)
    # Equal times keep the input order, except unknown ones: a file may list the items of a user by popularity.
    among_equals = np.where(rated_at == UNKNOWN_TIME, rng.permutation(n), np.arange(n))
    rank = np.empty(n, dtype=np.int64)
    rank[np.lexsort((among_equals, rated_at))] = np.arange(n)
    return _places_by(rank, user_rows)


def _places_by(
    keys: NDArray[np.integer] | NDArray[np.floating], user_rows: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the (n,) position of each rating among those of its user by ascending key, and the (n_users,) counts."""
    n = len(user_rows)
    order = np.lexsort((keys, user_rows))
    counts = np.bincount(user_rows, minlength=1)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    place = np.empty(n, dtype=np.int64)
    # In sorted order, the position within a user is the index minus the start of the user.
    place[order] = np.arange(n) - starts[user_rows[order]]
    return place, counts


def hold_out_last(user_rows: NDArray[np.integer], rated_at: NDArray[np.int64], n_last: int) -> Mask:
    """Return the (n,) mask of the newest `n_last` ratings of every user, by (time, input order).

    The oldest rating of a user and ratings without a time are never held out.
    """
    place, counts = _places(user_rows, rated_at, np.random.default_rng(0))
    is_last = place >= np.maximum(counts[user_rows] - n_last, 1)
    # Ratings without a time come first, so their random order does not change which known times are last.
    is_held_out: Mask = is_last & (rated_at != UNKNOWN_TIME)
    return is_held_out


def hold_out_share_of_users(user_rows: NDArray[np.integer], fraction: float, rng: np.random.Generator) -> Mask:
    """Return the (n,) mask of a random `fraction` of every user's ratings.

    Each rating draws a number from `rng.random(n)`. The floor((1 - fraction) n_u) ratings of a user with the lowest
    numbers, and at least one, are the training part.
    """
    place, counts = _places_by(rng.random(len(user_rows)), user_rows)
    n_learned = np.maximum(np.floor((1 - fraction) * counts + _ROUNDING), 1)
    is_held_out: Mask = place >= n_learned[user_rows]
    return is_held_out


def hold_out_after(rated_at: NDArray[np.int64], fraction: float) -> Mask:
    """Return the (n,) mask of the ratings at or after the instant T, about the newest `fraction` of all ratings.

    Ratings of equal times are never separated: T is the time of a rating such that the number of ratings at or after T
    is nearest to ceil(fraction n), and the earlier one of two equally near. Ratings without a time count as older than
    all others and are never held out. The mask is empty if no instant leaves a rating to learn from.
    """
    n = len(rated_at)
    instants, counts = np.unique(rated_at[rated_at != UNKNOWN_TIME], return_counts=True)
    # n_from[j]: number of ratings at or after instant j
    n_from = counts[::-1].cumsum()[::-1]
    instants, n_from = instants[n_from < n], n_from[n_from < n]
    if not len(instants):
        return np.zeros(n, dtype=np.bool_)
    wanted = n - math.floor((1 - fraction) * n + _ROUNDING)
    # `argmin` takes the first of equal values, which is the earlier instant.
    is_held_out: Mask = rated_at >= instants[np.argmin(np.abs(n_from - wanted))]
    return is_held_out


def k_folds(n: int, k: int, seed: int) -> NDArray[np.int64]:
    """Return the (n,) fold of each rating: rating i is in fold RandomState(seed).permutation(n)[i] % k."""
    # RandomState is frozen by NumPy, so the folds of a seed stay comparable with published ones.
    return np.random.RandomState(seed).permutation(n) % k


def random_split(n: int, fraction: float, seed: int) -> Mask:
    """Return the (n,) mask of the first round(fraction n) elements of default_rng(seed).permutation(n)."""
    is_held_out = np.zeros(n, dtype=np.bool_)
    is_held_out[np.random.default_rng(seed).permutation(n)[: round(fraction * n)]] = True
    return is_held_out


def hold_out_whole(rows: NDArray[np.integer], fraction: float, seed: int) -> Mask:
    """Return the (n,) mask of all ratings of a share of the users or items, so that these have no training ratings.

    `rows`: (n,) user or item rows. Of the m rows with ratings in ascending order, permuted by default_rng(seed), the
    first round(fraction m) are held out, and at least one.
    """
    rated = np.unique(rows)
    n_cold = max(1, round(fraction * len(rated)))
    return np.isin(rows, np.random.default_rng(seed).permutation(rated)[:n_cold])


def keep_newest(
    user_rows: NDArray[np.integer], item_rows: NDArray[np.integer], rated_at: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the ascending positions of the newest rating of each pair; of equal times, the later in input order."""
    n = len(user_rows)
    order = np.lexsort((np.arange(n), rated_at, item_rows, user_rows))
    users, items = user_rows[order], item_rows[order]
    # Sorted by user, item, time and input order, the newest rating of a pair is the last before the pair changes.
    is_last = np.ones(n, dtype=np.bool_)
    is_last[:-1] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    return np.sort(order[is_last])


FRACTION_SPLITS: dict[str, Callable[[RatingMatrix, float, int], Mask]] = {
    "random": lambda ratings, fraction, seed: random_split(len(ratings), fraction, seed),
    "user-random": lambda ratings, fraction, seed: hold_out_share_of_users(
        ratings.user_rows, fraction, np.random.default_rng(seed)
    ),
    "user-time": lambda ratings, fraction, seed: hold_out_latest(
        ratings.user_rows, ratings.times, fraction, np.random.default_rng(seed)
    ),
    "time": lambda ratings, fraction, _: hold_out_after(ratings.times, fraction),
    "cold-users": lambda ratings, fraction, seed: hold_out_whole(ratings.user_rows, fraction, seed),
    "cold-items": lambda ratings, fraction, seed: hold_out_whole(ratings.item_rows, fraction, seed),
    "next": lambda ratings, fraction, _: hold_out_after(ratings.times, fraction),
}
"""Name on the command line -> function of ratings, fraction and seed that returns the (n,) mask of the test part."""

MAX_FOLDS = 100
MAX_LAST = 1000
LEAVE_ONE_OUT = "leave-one-out"
FOLDS = "folds"
NEXT_LAST = "next-last"
SPLITS = ", ".join([f"{FOLDS}:K", *(f"{name}:F" for name in FRACTION_SPLITS), f"{NEXT_LAST}:N", LEAVE_ONE_OUT])
"""The forms of all splits, for messages."""

_WITHOUT_TIMES = {
    "time": "random:F holds out a random share of all ratings",
    "user-time": "user-random:F holds out a random share of each user's ratings",
    "next": f"{LEAVE_ONE_OUT} holds out one rating of each user",
    NEXT_LAST: f"{LEAVE_ONE_OUT} holds out one rating of each user",
}
"""The splits that need times -> what can be measured without."""


def held_out_by(name: str, ratings: RatingMatrix, seed: int) -> list[Mask]:
    """Return the (n,) masks of the test parts, one for each fold, of a split such as `folds:5` (see `SPLITS`).

    Raises `InvalidInputError` for an unknown name, for a split by time if no rating has a time, and if there are too
    few ratings for the split.
    """
    kind = _kind(name)
    if kind in _WITHOUT_TIMES and len(ratings) and not _are_timed(ratings).any():
        message = f"{name} splits by time, but none of the {len(ratings)} ratings has a time; {_WITHOUT_TIMES[kind]}"
        raise InvalidInputError(message, field="split")
    masks = _masks(name, ratings, seed)
    for mask in masks:
        if mask.all() or not mask.any():
            nothing = "nothing to learn from" if mask.all() else "nothing to measure on"
            is_one_instant = kind in _WITHOUT_TIMES and len(np.unique(ratings.times)) == 1
            why = ", which all have the same time" if is_one_instant and len(ratings) > 1 else ""
            raise InvalidInputError(f"{name} leaves {nothing} of {len(ratings)} ratings{why}", field="split")
    return masks


def is_rolling(name: str) -> bool:
    """Whether the test part of the split is asked one interaction after the other, see `rolling`."""
    return _kind(name) in ("next", NEXT_LAST)


def remarks_on_times(name: str, ratings: RatingMatrix) -> list[str]:
    """Return what a reader must know of a split by time if the times of some or all ratings are unknown."""
    kind = _kind(name)
    n, n_unknown = len(ratings), int(np.count_nonzero(~_are_timed(ratings)))
    if not n_unknown or (kind not in _WITHOUT_TIMES and kind != LEAVE_ONE_OUT):
        return []
    if n_unknown == n:
        return [f"none of the {n:,} ratings has a time: {name} holds out a random rating of each user, not the newest"]
    order = ", in random order" if kind in ("user-time", LEAVE_ONE_OUT) else ""
    return [f"{n_unknown:,} of {n:,} ratings have no time; they count as older than all others{order}"]


def rules_on_equal_times(name: str) -> list[str]:
    """Return what a split by time does with equal times, in sentences; empty for other splits."""
    kind = _kind(name)
    rules = []
    if kind in ("user-time", LEAVE_ONE_OUT, "next", NEXT_LAST):
        rules.append("Ratings of one user at one instant keep the order of the file.")
    if kind in ("time", "next"):
        rules.append("Ratings of one instant are all on the same side of the border in time.")
    return rules


def _are_timed(ratings: RatingMatrix) -> Mask:
    are_timed: Mask = ratings.times != UNKNOWN_TIME
    return are_timed


def _kind(name: str) -> str:
    return name.partition(":")[0]


def _masks(name: str, ratings: RatingMatrix, seed: int) -> list[Mask]:
    kind, _, argument = name.partition(":")
    if name == LEAVE_ONE_OUT:
        return [leave_one_out(ratings.user_rows, ratings.times, np.random.default_rng(seed))]
    if kind == FOLDS and argument.isdecimal() and 1 < int(argument) <= MAX_FOLDS:
        fold = k_folds(len(ratings), int(argument), seed)
        return [fold == each for each in range(int(argument))]
    if kind == NEXT_LAST and argument.isdecimal() and 0 < int(argument) <= MAX_LAST:
        return [hold_out_last(ratings.user_rows, ratings.times, int(argument))]
    if kind in FRACTION_SPLITS and 0 < (fraction := _number(argument)) < 1:
        return [FRACTION_SPLITS[kind](ratings, fraction, seed)]
    raise InvalidInputError(
        f"{name!r} is not a split; there are: {SPLITS}; 0 < F < 1, 2 <= K <= {MAX_FOLDS}, 1 <= N <= {MAX_LAST}",
        field="split",
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
