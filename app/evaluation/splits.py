"""What is learned from and what is measured on. All splits are positions or masks over the ratings in input order."""

import math

import numpy as np
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME
from app.errors import InvalidInputError

_ROUNDING = 1e-9  # 0.8 * n is floored, and 0.8 is a little less than 0.8

Mask = NDArray[np.bool_]


def hold_out_latest(
    user_rows: NDArray[np.integer], rated_at: NDArray[np.int64], fraction: float, rng: np.random.Generator
) -> Mask:
    """(n,) mask of the newest `fraction` of every user's ratings.

    Per user, in the order of (time, input order), the first floor((1 - fraction) n) are to learn from, the rest is held
    out. Ratings without a time come first, in an order drawn from `rng`.
    """
    n = len(user_rows)
    among_equals = np.where(rated_at == UNKNOWN_TIME, rng.permutation(n), np.arange(n))
    order = np.lexsort((among_equals, rated_at, user_rows))
    counts = np.bincount(user_rows, minlength=1)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n) - starts[user_rows[order]]
    n_learned = np.floor((1 - fraction) * counts + _ROUNDING).astype(np.int64)
    is_held_out: Mask = place >= n_learned[user_rows]
    return is_held_out


def hold_out_after(rated_at: NDArray[np.int64], fraction: float) -> Mask:
    """(n,) mask of the newest `fraction` of all ratings, by (time, input order)."""
    order = np.argsort(rated_at, kind="stable")
    is_held_out = np.zeros(len(rated_at), dtype=np.bool_)
    is_held_out[order[math.floor((1 - fraction) * len(rated_at) + _ROUNDING) :]] = True
    return is_held_out


def k_folds(n: int, k: int, seed: int) -> NDArray[np.int64]:
    """(n,) fold of each rating: rating i is in fold RandomState(seed).permutation(n)[i] % k."""
    return np.random.RandomState(seed).permutation(n) % k


def random_split(n: int, fraction: float, seed: int) -> Mask:
    """(n,) mask of the first round(fraction n) of default_rng(seed).permutation(n)."""
    is_held_out = np.zeros(n, dtype=np.bool_)
    is_held_out[np.random.default_rng(seed).permutation(n)[: round(fraction * n)]] = True
    return is_held_out


def keep_newest(
    user_rows: NDArray[np.integer], item_rows: NDArray[np.integer], rated_at: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Positions, ascending, of one rating for each pair: the newest, of equal times the later."""
    n = len(user_rows)
    order = np.lexsort((np.arange(n), rated_at, item_rows, user_rows))
    users, items = user_rows[order], item_rows[order]
    is_last = np.ones(n, dtype=np.bool_)
    is_last[:-1] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    return np.sort(order[is_last])


def held_out_by(name: str, user_rows: NDArray[np.integer], rated_at: NDArray[np.int64], seed: int) -> list[Mask]:
    """The masks, one a fold, of a split named as on the command line.

    Raises `InvalidInputError` for a name that is not `folds:K`, `random:F`, `user-time:F` or `time:F`.
    """
    kind, _, argument = name.partition(":")
    try:
        if kind == "folds" and 2 <= int(argument) <= len(user_rows):  # noqa: PLR2004  one fold is no split
            fold = k_folds(len(user_rows), int(argument), seed)
            return [fold == each for each in range(int(argument))]
        fraction = float(argument)
    except ValueError:
        fraction = math.nan
    if 0 < fraction < 1:
        if kind == "random":
            return [random_split(len(user_rows), fraction, seed)]
        if kind == "user-time":
            return [hold_out_latest(user_rows, rated_at, fraction, np.random.default_rng(seed))]
        if kind == "time":
            return [hold_out_after(rated_at, fraction)]
    message = f"{name!r} is not a split of these ratings: folds:K, random:F, user-time:F or time:F, 0 < F < 1"
    raise InvalidInputError(message, field="split")
