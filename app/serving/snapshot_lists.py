"""Two snapshots side by side: the lists of the same users by each, and which items are shown more or less."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from app.scoring import Scorer

K = 10
N_SHOWN = 10
"""Users whose lists are shown."""

N_USERS = 200
"""Users whose lists are counted, at most."""

SECONDS = 0.5
"""For how long lists are made, beside requests that need the processor as well."""

N_MOVED = 10
N_NEAREST = 300
N_OF_TABLE = 100


@dataclass(frozen=True, slots=True)
class ListsOfUser:
    """The first items of one user by each snapshot, best first, without those known at the snapshot."""

    user_key: int
    of_a: list[int]
    of_b: list[int]


@dataclass(frozen=True, slots=True)
class ExposureChange:
    """`before`, `after`: the share of the lists that hold the item, by a and by b, from 0 to 1."""

    item_key: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class ComparedLists:
    """`lists`: of the first users. `n_users`: whose lists were counted; `n_common`: whom both snapshots know.

    `overlap`: the mean share of items that both lists of a user have; None without a user.
    `gained`, `lost`: the items whose share of lists rose or fell most, those first.
    """

    lists: list[ListsOfUser]
    n_users: int
    n_common: int
    overlap: float | None
    gained: list[ExposureChange]
    lost: list[ExposureChange]


def compare_lists(
    a: Scorer, b: Scorer, *, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
) -> ComparedLists:
    """Compare the lists of up to `N_USERS` users whom both know, evenly among them, for `seconds` at most.

    The lists are those of the score alone: without the rules of placements, and by what users had chosen when the
    snapshots were made.
    """
    common = np.intersect1d(a.arrays.user_keys, b.arrays.user_keys, assume_unique=True)
    until = clock() + seconds
    lists: list[ListsOfUser] = []
    for user_key in _spread(common):
        if lists and clock() > until:
            break
        lists.append(ListsOfUser(user_key, first_items(a, user_key), first_items(b, user_key)))
    n = len(lists)
    before = Counter(key for each in lists for key in each.of_a)
    after = Counter(key for each in lists for key in each.of_b)
    moved = sorted(
        (ExposureChange(key, before[key] / n, after[key] / n) for key in before.keys() | after.keys()),
        key=lambda each: (each.before - each.after, each.item_key),
    )
    return ComparedLists(
        lists=lists[:N_SHOWN],
        n_users=n,
        n_common=len(common),
        overlap=float(np.mean([_overlap(each) for each in lists])) if lists else None,
        gained=[*islice((each for each in moved if each.after > each.before), N_MOVED)],
        lost=[*islice((each for each in reversed(moved) if each.after < each.before), N_MOVED)],
    )


def first_items(scorer: Scorer, user_key: int, k: int = K) -> list[int]:
    """The keys of the up to `k` items with the best scores, best first, of those that the user had not met.

    The best of the index and of each table are scored, not all items: millions would take a second a user.
    """
    row = scorer.user_row(user_key)
    if row is None:
        return []
    side, arrays = scorer.user_side(row), scorer.arrays
    met = np.concatenate([arrays.history(row)[0], arrays.labels(row)[0], arrays.labels(row)[2]])
    n = N_NEAREST + len(met)
    proposed = [scorer.index.nearest(side.vector, n)[0]]
    for scores in side.tables.values():
        # The last score is that of newer items.
        of_items, most = scores[:-1], N_OF_TABLE + len(met)
        proposed.append(np.argpartition(-of_items, most)[:most] if len(of_items) > most else np.arange(len(of_items)))
    rows = np.setdiff1d(np.concatenate(proposed), met)
    scores = scorer.scores(side, rows, scorer.item_vectors[rows])
    best = rows[np.lexsort((rows, -scores))][:k]
    keys: list[int] = arrays.item_keys[best].tolist()
    return keys


def _spread(keys: NDArray[np.int64]) -> list[int]:
    """Up to `N_USERS` of the keys, evenly among all; those shown first are so as well."""
    if not len(keys):
        return []
    places = np.unique(np.linspace(0, len(keys) - 1, N_USERS).astype(int))
    shown = np.unique(np.linspace(0, len(places) - 1, N_SHOWN).astype(int))
    ordered = np.concatenate([places[shown], np.delete(places, shown)])
    spread: list[int] = keys[ordered].tolist()
    return spread


def _overlap(lists: ListsOfUser) -> float:
    longest = max(len(lists.of_a), len(lists.of_b))
    return len({*lists.of_a} & {*lists.of_b}) / longest if longest else 1.0
