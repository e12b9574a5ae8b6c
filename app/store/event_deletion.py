"""Takes an event back: the sums of its user, item and type are made anew from the events that remain.

A tombstone holds the event's id for `TOMBSTONES_KEPT`, so that a replay does not store it again.
"""

from datetime import timedelta
from typing import Any

import numpy as np
import sqlalchemy as sa

from app.store.database import Database
from app.store.schema import deleted_events, events, interactions, users
from app.store.signals import Signals, event_signals_of_pairs, rating_signals_of_pairs
from app.store.trends import audiences_of, change_trends, lock_trends

TOMBSTONES_KEPT = timedelta(days=30)
DELETED_EVENTS = "SELECT event_id, user_id FROM deleted_events LEFT JOIN users USING (user_key) WHERE event_id = ?"
"""The id of the user is NULL where the event may be of any."""


def delete_event(database: Database, event_id: str, *, at: int) -> bool:
    """Deletes the events of all users with this id as of the time `at`, so that a later replay changes nothing.

    Each counts as a change of its user. False if there is none.
    """
    is_any = False
    while True:
        with database.writing(uses_reserve=True) as connection:
            event = _find(connection, event_id)
            if event is None:
                return is_any
            connection.execute(sa.select(users.c.user_key).where(users.c.user_key == event.user_key).with_for_update())
            # It may have been deleted, or moved to another user, before its user was locked.
            if _find(connection, event_id) == event:
                _delete(database, connection, event, at)
                is_any = True


def purge_deleted_events(database: Database, *, now: int) -> int:
    """Removes tombstones older than `TOMBSTONES_KEPT`; returns how many."""
    before = now - TOMBSTONES_KEPT // timedelta(microseconds=1)
    with database.writing(uses_reserve=True) as connection:
        return connection.execute(sa.delete(deleted_events).where(deleted_events.c.deleted_at < before)).rowcount


def _find(connection: sa.Connection, event_id: str) -> Any:
    columns = (events.c.event_id, events.c.user_key, events.c.item_key, events.c.type_key, events.c.at)
    found = sa.select(*columns).where(events.c.event_id == event_id).order_by(events.c.user_key)
    return connection.execute(found.limit(1)).one_or_none()


def _delete(database: Database, connection: sa.Connection, event: Any, at: int) -> None:
    user_key, item_key = np.array([event.user_key]), np.array([event.item_key])
    lock_trends(database, connection)
    before = _signals(database, connection, user_key, item_key, event.at)
    database.note("events", removed=1)
    for table in (events, deleted_events):  # a guest who was merged may have taken back the event of the same id
        is_same = (table.c.event_id == event.event_id) & (table.c.user_key == event.user_key)
        connection.execute(sa.delete(table).where(is_same))
    tombstone = {"event_id": event.event_id, "deleted_at": at, "user_key": event.user_key}
    connection.execute(sa.insert(deleted_events).values(**tombstone))
    sum_anew(connection, event)
    database.dialect.bump_users(connection, user_key, np.array([1]), column="profile_version")
    after = _signals(database, connection, user_key, item_key, event.at)
    audiences = audiences_of(database, connection, user_key)
    change_trends(database, connection, before, after, audiences, audiences)


def _signals(database: Database, connection: sa.Connection, user_key: Any, item_key: Any, at: int) -> Signals:
    happened = event_signals_of_pairs(database, connection, user_key, item_key, np.array([at]))
    return happened + rating_signals_of_pairs(database, connection, user_key, item_key)


def sum_anew(connection: sa.Connection, event: Any) -> None:
    """Counts the remaining events of the user, item and type of an event that was deleted."""
    keys = ("user_key", "item_key", "type_key")
    is_same = sa.and_(*(events.c[name] == getattr(event, name) for name in keys))
    is_sum = sa.and_(*(interactions.c[name] == getattr(event, name) for name in keys))
    # A NULL portion means the whole, which is the largest; `count` of a column leaves NULLs out.
    n_events, n_portions = sa.func.count(), sa.func.count(events.c.portion)
    portion = sa.case((n_portions == n_events, sa.func.max(events.c.portion)))
    sums = (n_events.label("count"), sa.func.min(events.c.at), sa.func.max(events.c.at), portion)
    of_all = sa.select(*sums).select_from(events).where(is_same)
    count, first_at, last_at, largest = connection.execute(of_all).one()
    if count:
        values = {"count": count, "first_at": first_at, "last_at": last_at, "portion": largest}
        connection.execute(sa.update(interactions).where(is_sum).values(**values))
    else:
        connection.execute(sa.delete(interactions).where(is_sum))
