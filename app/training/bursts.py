"""The step of a run that caps what comes in a burst, of one user and for one item. The excess waits.

- **Of a user**: `MOST_AN_HOUR` ratings of each hour are learned from, the first ones. Who rates more is a program.
  Of a direct user, `MOST_IN_ALL` are learned from, the newest ones.
- **For an item**: of the new users who chose it, as many are learned from as the choices of others let one expect
  (`app.store.bursts`), those who came first. A run that publishes judges users (`quarantine.py`); later ones learn from
  those in full who do not look made. Who chose too little to be judged stays new.

Callers of the API say when something happened, and a program may say anything. So the cap of an item counts choices,
whatever their times, and users come in the order of their keys. The hours of a user are those that the caller says; a
program that spreads its ratings over the past gains what it would by waiting, up to `MOST_IN_ALL`.

An import is no burst. A user is *direct* once a rating or an event of the user came through the API. What users have
who are known from files alone is history up to the time of the last published snapshot, and after that a burst like any
other: the times in files are the operator's. Ratings without a time come from files and are never capped. Users whom an
operator released are never capped.

Refused: the time of arrival of each rating, which takes another column of the largest table; old times from the API,
which apps that were offline send for good reasons.
"""

import numpy as np
import structlog
from numpy.typing import NDArray

from app.algorithms.progress import Stage
from app.entities import UNKNOWN_TIME, to_microseconds
from app.segments.registry import segment_layouts
from app.snapshots.arrays import SnapshotArrays
from app.snapshots.errors import SnapshotError
from app.snapshots.folders import SnapshotFolders
from app.snapshots.read import read_snapshot
from app.store.bursts import most_of_new
from app.store.snapshots import SnapshotEntry
from app.store.store import Store
from app.training.dataset import Dataset
from app.training.live import fetching

MOST_AN_HOUR = 1_000
"""The busiest of 610 users of MovieLens (ml-latest-small) rated 574 films within an hour, and 392 within a minute."""

MOST_IN_ALL = 10_000
"""The busiest of 138,493 users of MovieLens (ml-20m) rated 9,254 films in all."""

HOUR = 3_600_000_000
"""Microseconds."""

log = structlog.get_logger()

Rows = NDArray[np.integer]
Times = NDArray[np.int64]
Counts = NDArray[np.float64]


def cap_bursts(dataset: Dataset, store: Store, folders: SnapshotFolders, stage: Stage) -> Dataset:
    """`dataset`, to be learned without what exceeds the caps. `folders`: of the snapshots."""
    if dataset.is_larger_than_memory:
        what = "bursts: not looked for above RECKON_TRAINING_MEMORY"
        stage.decide(what)
        return dataset.noting(what)
    data, ratings, labels = dataset.data, dataset.ratings, dataset.ratings.labels
    may_burst = ~np.isin(data.user_keys, store.quarantine.released())
    is_choice = np.ones(len(ratings), bool) if ratings.chosen_from is None else ratings.values >= ratings.chosen_from
    parts = [(ratings.user_rows, ratings.item_rows, ratings.times, is_choice)]
    if labels is not None:
        parts.append((labels.user_rows, labels.item_rows, labels.last_at, labels.are_positive))
    users, items, times, is_choice = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    is_timed = (times != UNKNOWN_TIME) & may_burst[users]
    entries = store.snapshots.entries()
    # Until then, the times of users from files are history.
    published_at = to_microseconds(entries[0].created_at) if entries else 0
    # Before a run has judged any user there is nothing to compare with.
    is_new = data.is_new & ~data.is_new.all()
    is_of_new = is_new[users] & is_timed & is_choice & (data.is_direct[users] | (times > published_at))
    new = np.bincount(items[is_of_new], minlength=ratings.n_items).astype(float)
    others = np.bincount(items[is_choice & ~is_of_new], minlength=ratings.n_items).astype(float)
    most = most_expected(others, new, learned_before(store.snapshots.live(), store, folders, data.item_keys, stage))
    of_user = is_timed & (_over_the_hour(users, times) | (data.is_direct[users] & _over_all(users, times)))
    of_item = np.zeros(len(users), bool)
    rows = np.flatnonzero(is_of_new)
    # Of equal items in the order of users, which is that of their arrival.
    rows = rows[np.lexsort((users[rows], items[rows]))]
    of_item[rows] = _places(items[rows]) >= np.floor(most[items[rows]])
    capped = of_user | of_item
    stage.note(n_capped=int(np.count_nonzero(capped)))
    if not capped.any():
        return dataset
    n_users, n_items = len(np.unique(users[of_user])), len(np.unique(items[of_item]))
    found = (
        f"bursts: {np.count_nonzero(capped):,} ratings and events are not learned from: {np.count_nonzero(of_user):,}"
        f" of {n_users:,} users with more than {MOST_AN_HOUR:,} an hour or {MOST_IN_ALL:,} in all, and"
        f" {np.count_nonzero(of_item):,} of new users for {n_items:,} items"
    )
    stage.decide(found)
    # A decision is logged as information, which an operator may not read.
    log.warning("ratings came in bursts", n_capped=int(np.count_nonzero(capped)), n_users=n_users, n_items=n_items)
    return dataset.capped(capped[: len(ratings)], capped[len(ratings) :], found)


def most_expected(known: Counts, new: Counts, before: Counts | None) -> Counts:
    """(n_items,) how many choices of new users are expected at most, beside those of known ones; infinite for any.

    All are (n_items,): `known` and `new` choices, and those that the live snapshot has learned from; None: not known.
    """
    of_all_times = _most(known, new)
    if before is None:
        return of_all_times
    # What known users chose at any time, or since live was made: an item that is new, or news, is chosen by the latter.
    of_late = _most(np.maximum(known - before, 0), new)
    # Where known users have done nothing since, only their earlier choices can tell.
    return np.where(np.isfinite(of_late), np.maximum(of_all_times, of_late), of_all_times)


def _most(known: Counts, new: Counts) -> Counts:
    order = np.argsort(-(known + new), kind="stable")
    with np.errstate(divide="ignore", invalid="ignore"):
        of_all, of_new = np.log2(known + new)[order], np.log2(new)[order]
        chosen = np.isfinite(of_all)
        most = np.full(len(new), np.inf)
        most[order[chosen]] = np.exp2(most_of_new(of_all[chosen], of_new[chosen], 0.0))
    return most


def learned_before(
    live: SnapshotEntry | None, store: Store, folders: SnapshotFolders, item_keys: NDArray[np.int64], stage: Stage
) -> Counts | None:
    """(n_items,) the choices of each item that the live snapshot has learned from; None where it cannot be read."""
    if live is None:
        return None
    database_id = store.instance.database_id
    try:
        files = folders.read(
            live,
            lambda folder: read_snapshot(folder, database_id, live.version, segment_layouts(), live.digest),
            fetching(folders, stage),
        )
    except SnapshotError:
        return None
    return choices_of(files.arrays, item_keys)


def choices_of(live: SnapshotArrays, item_keys: NDArray[np.int64]) -> Counts:
    """(n_items,) the choices of items, by key ascending, that a snapshot has learned from; 0 for those it lacks."""
    _, rows, of_live = np.intersect1d(item_keys, live.item_keys, assume_unique=True, return_indices=True)
    counts = np.zeros(len(item_keys))
    counts[rows] = live.item_counts[of_live]
    return counts


def _over_the_hour(users: Rows, times: Times) -> NDArray[np.bool_]:
    """(n,) those of a user that come after the first `MOST_AN_HOUR` of an hour."""
    order = np.lexsort((times, users))
    is_over = np.zeros(len(users), bool)
    is_over[order] = _places(users[order], times[order] // HOUR) >= MOST_AN_HOUR
    return is_over


def _over_all(users: Rows, times: Times) -> NDArray[np.bool_]:
    """(n,) those of a user that are older than the newest `MOST_IN_ALL`."""
    order = np.lexsort((~times, users))
    is_over = np.zeros(len(users), bool)
    is_over[order] = _places(users[order]) >= MOST_IN_ALL
    return is_over


def _places(*keys: Rows) -> NDArray[np.int64]:
    """(n,) the place of each row, from 0, among those of equal keys, which are neighbours."""
    n = len(keys[0])
    is_first = np.ones(n, bool)
    is_first[1:] = np.any([np.diff(key) != 0 for key in keys], axis=0)
    starts = np.flatnonzero(is_first)
    places: NDArray[np.int64] = np.arange(n) - np.repeat(starts, np.diff(starts, append=n))
    return places
