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
    order = np.lexsort((among_equals, rated_at, user_rows))
    counts = np.bincount(user_rows, minlength=1)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    place = np.empty(n, dtype=np.int64)
    # In sorted order, the position within a user is the index minus the start of the user.
    place[order] = np.arange(n) - starts[user_rows[order]]
    return place, counts


def hold_out_after(rated_at: NDArray[np.int64], fraction: float) -> Mask:
    """Return the (n,) mask of the newest `fraction` of all ratings, by (time, input order)."""
    order = np.argsort(rated_at, kind="stable")
    is_held_out = np.zeros(len(rated_at), dtype=np.bool_)
    is_held_out[order[math.floor((1 - fraction) * len(rated_at) + _ROUNDING) :]] = True
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
    "user-time": lambda ratings, fraction, seed: hold_out_latest(
        ratings.user_rows, ratings.times, fraction, np.random.default_rng(seed)
    ),
    "time": lambda ratings, fraction, _: hold_out_after(ratings.times, fraction),
    "cold-users": lambda ratings, fraction, seed: hold_out_whole(ratings.user_rows, fraction, seed),
    "cold-items": lambda ratings, fraction, seed: hold_out_whole(ratings.item_rows, fraction, seed),
}
"""Name on the command line -> function of ratings, fraction and seed that returns the (n,) mask of the test part."""

MAX_FOLDS = 100
LEAVE_ONE_OUT = "leave-one-out"
FOLDS = "folds"
SPLITS = ", ".join([f"{FOLDS}:K", *(f"{name}:F" for name in FRACTION_SPLITS), LEAVE_ONE_OUT])
"""The forms of all splits, for messages."""


def held_out_by(name: str, ratings: RatingMatrix, seed: int) -> list[Mask]:
    """Return the (n,) masks of the test parts, one for each fold, of a split such as `folds:5` (see `SPLITS`).

    Raises `InvalidInputError` for an unknown name, and if there are too few ratings for the split.
    """
    masks = _masks(name, ratings, seed)
    for mask in masks:
        if mask.all() or not mask.any():
            nothing = "nothing to learn from" if mask.all() else "nothing to measure on"
            raise InvalidInputError(f"{name} leaves {nothing} of {len(ratings)} ratings", field="split")
    return masks


def _masks(name: str, ratings: RatingMatrix, seed: int) -> list[Mask]:
    kind, _, argument = name.partition(":")
    if name == LEAVE_ONE_OUT:
        return [leave_one_out(ratings.user_rows, ratings.times, np.random.default_rng(seed))]
    if kind == FOLDS and argument.isdecimal() and 1 < int(argument) <= MAX_FOLDS:
        fold = k_folds(len(ratings), int(argument), seed)
        return [fold == each for each in range(int(argument))]
    if kind in FRACTION_SPLITS and 0 < (fraction := _number(argument)) < 1:
        return [FRACTION_SPLITS[kind](ratings, fraction, seed)]
    raise InvalidInputError(
        f"{name!r} is not a split; there are: {SPLITS}; 0 < F < 1, 2 <= K <= {MAX_FOLDS}", field="split"
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
