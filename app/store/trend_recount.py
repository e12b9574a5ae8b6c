"""Counts all trends again after a change of a weight, in slices, so that other writes wait for none of them long.

The signals are read aside, by the new weights. Then slice after slice of the items gets new sums, each in a short write
transaction. Users whose version has changed meanwhile are read again there. Writers count by the new weights from the
change on. What they add to sums that are not counted again yet is inexact until the slice of the item comes.

A counter in the database holds the items that are done, so that another process can go on where one was interrupted.

Refused: to count in one transaction (all other writes wait, for many seconds on a large database); slices that read
their own signals (ratings have no index by item, so each would scan all of them).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.store import counters
from app.store.database import Database
from app.store.dialect import KeyArray
from app.store.schema import counters as counter_table
from app.store.schema import trends
from app.store.signals import Signals, signals_of_items_after, signals_of_users
from app.store.trends import RECOUNTED, audiences_of, end_recount, recounted_up_to, replace_scores, scores_of

SLICE_SIGNALS = 20_000
"""A slice has about so many, at least those of one item; they take a tenth of a second."""

LAST_KEY = 2**63 - 1
VERSIONS = "SELECT user_key, version, profile_version FROM users ORDER BY user_key"
VERSIONS_DTYPE = np.dtype([("user_key", "i8"), ("version", "i8"), ("profile_version", "i8")])


@dataclass(slots=True)
class _Aside:
    """The signals of the items above `done`, in the order of their keys, as of the `versions` of the users.

    `weights`: the counter that grows with every change of a weight.
    """

    done: int
    weights: int
    versions: NDArray[np.void]
    signals: Signals


def recount(database: Database) -> None:
    """Counts all trends again, or those that an interrupted recount has left; does nothing if none is due."""
    for _ in recount_slices(database):
        pass


def recount_slices(database: Database) -> Iterator[None]:
    """As `recount`; after each slice other writes may come."""
    while (aside := _read_aside(database)) is not None:
        while _count_slice(database, aside):
            yield


def _read_aside(database: Database) -> _Aside | None:
    with database.reading() as connection:
        done = recounted_up_to(connection)
        if done is None:
            return None
        return _Aside(
            done,
            counters.read(connection, "placements"),
            database.dialect.all_rows(connection, VERSIONS, VERSIONS_DTYPE),
            _by_item(signals_of_items_after(database, connection, done)),
        )


def _count_slice(database: Database, aside: _Aside) -> bool:
    """Counts the next items again. False if all are done, or `aside` is of no use any more."""
    with database.writing() as connection:
        database.dialect.lock_table(connection, "trends", "EXCLUSIVE")
        done = recounted_up_to(connection)
        if done is None or counters.read(connection, "placements") != aside.weights:
            return False
        if done != aside.done:  # another process counts as well
            aside.done, aside.signals = done, aside.signals.part(aside.signals.item_key > done)
        _follow_changes(database, connection, aside)
        keys = aside.signals.item_key
        end = int(keys[SLICE_SIGNALS]) if len(keys) > SLICE_SIGNALS else LAST_KEY
        n = int(np.searchsorted(keys, end, side="right"))
        signals = aside.signals.part(np.arange(n))
        scores = scores_of(signals, audiences_of(database, connection, signals.user_key))
        is_of_slice = (trends.c.item_key > aside.done) & (trends.c.item_key <= end)
        connection.execute(sa.delete(trends).where(is_of_slice))
        replace_scores(database, connection, scores)
        if end == LAST_KEY:
            end_recount(connection)
        else:
            connection.execute(sa.update(counter_table).where(counter_table.c.name == RECOUNTED).values(value=end))
    aside.done, aside.signals = end, aside.signals.part(np.arange(n, len(keys)))
    return True


def _follow_changes(database: Database, connection: sa.Connection, aside: _Aside) -> None:
    """Brings the signals of users who have changed since the last look, or are gone, up to date."""
    versions = database.dialect.all_rows(connection, VERSIONS, VERSIONS_DTYPE)
    changed = _changed(aside.versions, versions)
    aside.versions = versions
    if not len(changed):
        return
    now = signals_of_users(database, connection, changed.tolist())
    kept = aside.signals.part(~np.isin(aside.signals.user_key, changed))
    aside.signals = _by_item(kept + now.part(now.item_key > aside.done))


def _changed(before: NDArray[np.void], after: NDArray[np.void]) -> KeyArray:
    """The keys of users who differ, or are in one of the two alone; both are in the order of keys."""
    place = np.minimum(np.searchsorted(before["user_key"], after["user_key"]), max(len(before) - 1, 0))
    is_same = before[place] == after if len(before) else np.zeros(len(after), np.bool_)
    gone = before["user_key"][~np.isin(before["user_key"], after["user_key"], assume_unique=True)]
    return np.concatenate([after["user_key"][~is_same], gone])


def _by_item(signals: Signals) -> Signals:
    return signals.part(np.argsort(signals.item_key, kind="stable"))
