"""Merging a guest into a user: everything known of the guest moves to the user in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from app.entities import UNKNOWN_TIME, InteractionColumns
from app.errors import NotFoundError
from app.store import counters
from app.store.database import Database
from app.store.event_deletion import sum_anew
from app.store.events import add_interactions
from app.store.ratings import UNCHANGED, decide
from app.store.redirects import RedirectedError, add_redirect, end_redirects, refuse_redirected, targets_of
from app.store.schema import deleted_events, events, interactions, items, quarantine, ratings, users
from app.store.signals import signals_of_users
from app.store.trends import audiences_of, change_trends, lock_trends

SUMS = ("item_key", "type_key", "count", "first_at", "last_at", "portion")


class NoGuestError(NotFoundError):
    """The guest does not exist; it may have been merged before."""

    def __init__(self, guest_id: str) -> None:
        super().__init__("user", guest_id)
        self.detail += " to merge; one that was merged is gone"


@dataclass(frozen=True, slots=True)
class Merged:
    """The user, and the numbers of the guest's ratings and events that changed the user."""

    user_id: str
    n_ratings: int
    n_events: int


def merge_users(database: Database, user_id: str, guest_id: str) -> Merged:
    """Moves ratings by the rule of the upsert, adds up interactions, and deletes the guest.

    Country and attributes of the guest fill those that the user lacks. Items created by the guest (`created_by`) become
    the user's. A missing user is inserted; if it is a guest that was merged into another user, that one is the user.
    Later ratings and events of the guest go to the user, see `redirects.py`. Raises `NoGuestError` where there is no
    guest.
    """
    while True:
        try:
            return _merge(database, user_id, guest_id)
        except RedirectedError as error:
            user_id = error.targets[user_id]


def _merge(database: Database, user_id: str, guest_id: str) -> Merged:
    find = sa.select(users.c.user_key).where(users.c.user_id == guest_id)
    with database.writing() as connection:
        known_key = connection.execute(find).scalar_one_or_none()
        if known_key is None:
            raise NoGuestError(guest_id)
        # Locks both users, in the order of their keys, before their ratings and events are read.
        keys, inserted = database.dialect.user_keys(connection, [user_id, guest_id])
        user_key, guest_key = keys.tolist()
        if guest_key != known_key:  # deleted before it was locked, and inserted again by `user_keys`
            raise NoGuestError(guest_id)
        # A user that was merged into the guest becomes the user again; one merged into another stays that one.
        if targets_of(database, connection, inserted) != {user_id: guest_id}:
            refuse_redirected(database, connection, inserted)
        end_redirects(connection, inserted)
        database.note("users", stored=len(inserted))
        _move_items(connection, user_id, guest_id)
        # Before ratings and events move, since the counters come before the trends in the order of locks.
        version = connection.execute(sa.select(users.c.version).where(users.c.user_key == guest_key)).scalar_one()
        # The guest's version leaves the sum of all versions, which must never shrink.
        counters.grow(connection, "erased", version)
        lock_trends(database, connection)
        both = [user_key, guest_key]
        n_ratings, n_events = _counts(connection, both)
        signals, audiences = signals_of_users(database, connection, both), audiences_of(database, connection, both)
        add_redirect(connection, guest_id, guest_key, user_key, now=database.dialect.now(connection))
        merged = Merged(
            user_id,
            _move_ratings(database, connection, user_key, guest_key),
            _move_events(database, connection, user_key, guest_key),
        )
        guest = connection.execute(sa.select(users).where(users.c.user_key == guest_key)).one()
        _fill_in(connection, user_key, guest)
        # The next run judges the merged profile.
        connection.execute(sa.delete(quarantine).where(quarantine.c.user_key == guest_key))
        connection.execute(sa.delete(users).where(users.c.user_key == guest_key))
        n_ratings_after, n_events_after = _counts(connection, [user_key])
        database.note("users", removed=1)
        database.note("ratings", removed=n_ratings - n_ratings_after)
        database.note("events", removed=n_events - n_events_after)
        signals_after = signals_of_users(database, connection, [user_key])
        audiences_after = audiences_of(database, connection, [user_key])
        change_trends(database, connection, signals, signals_after, audiences, audiences_after)
    return merged


def _counts(connection: sa.Connection, user_keys: Sequence[int]) -> tuple[int, int]:
    """The numbers of ratings and events of these users together."""
    rated = sa.select(sa.func.count(ratings.c.value)).where(ratings.c.user_key.in_(user_keys))  # a tombstone has none
    acted = sa.select(sa.func.count()).select_from(events).where(events.c.user_key.in_(user_keys))
    n_ratings, n_events = connection.execute(sa.select(rated.scalar_subquery(), acted.scalar_subquery())).one()
    return n_ratings, n_events


def _move_items(connection: sa.Connection, user_id: str, guest_id: str) -> None:
    """Changes the creator of the guest's items, by a scan of the catalogue: 10 ms for 100,000 items."""
    # An index on `created_by` would slow down every write of an item for the sake of this rare operation.
    made = sa.select(items.c.item_key).where(items.c.created_by == guest_id).order_by(items.c.item_key)
    keys = connection.execute(made.with_for_update(key_share=True)).scalars().all()
    if keys:
        changes = {"created_by": user_id, "version": counters.grow(connection, "catalogue")}
        statement = sa.update(items).where(items.c.item_key == sa.bindparam("key")).values(**changes)
        connection.execute(statement, [{"key": key} for key in keys])


def _move_ratings(database: Database, connection: sa.Connection, user_key: int, guest_key: int) -> int:
    statement = sa.select(ratings.c.item_key, ratings.c.value, ratings.c.rated_at)
    rows = connection.execute(statement.where(ratings.c.user_key == guest_key)).all()
    if not rows:
        return 0
    item_key = np.array([row.item_key for row in rows], dtype=np.int64)
    value = np.array([row.value for row in rows], dtype=np.float64)  # NULL, a tombstone, becomes NaN
    rated_at = np.array([UNKNOWN_TIME if row.rated_at is None else row.rated_at for row in rows], dtype=np.int64)
    existing = database.dialect.existing(connection, np.full(len(rows), user_key), item_key)
    decided = decide(value, rated_at, existing, None)
    # Only what wins against the user's own ratings is written; a guest's older opinion is dropped.
    moves = decided.status != UNCHANGED
    n_moved = int(moves.sum())
    if n_moved:
        owner = np.full(n_moved, user_key)
        columns = (item_key[moves], value[moves], rated_at[moves], ~existing.is_stored[moves])
        database.dialect.write_ratings(connection, owner, *columns)
        database.dialect.bump_users(connection, np.array([user_key]), np.array([n_moved]), is_direct=True)
    connection.execute(sa.delete(ratings).where(ratings.c.user_key == guest_key))
    return n_moved


def _move_events(database: Database, connection: sa.Connection, user_key: int, guest_key: int) -> int:
    _drop_known_events(connection, user_key, guest_key)
    of_guest = deleted_events.c.user_key == guest_key
    connection.execute(sa.update(deleted_events).where(of_guest).values(user_key=user_key))
    statement = sa.select(*(interactions.c[name] for name in SUMS)).where(interactions.c.user_key == guest_key)
    rows = connection.execute(statement.order_by(interactions.c.item_key, interactions.c.type_key)).all()
    if not rows:
        return 0
    # The last column holds NULLs, which become NaN only in a float array.
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    columns[-1] = columns[-1].astype(np.float64)
    add_interactions(database, connection, InteractionColumns(np.full(len(rows), user_key), *columns))
    connection.execute(sa.delete(interactions).where(interactions.c.user_key == guest_key))
    moved = sa.update(events).where(events.c.user_key == guest_key).values(user_key=user_key)
    n_moved = connection.execute(moved).rowcount
    changes = (np.array([user_key]), np.array([n_moved]))
    database.dialect.bump_users(connection, *changes, column="profile_version", is_direct=True)
    return n_moved


def _drop_known_events(connection: sa.Connection, user_key: int, guest_key: int) -> None:
    """Deletes the guest's events, and tombstones of events, whose ids are those of the user's: they are the same."""
    for table in (events, deleted_events):
        of_user = table.alias()
        is_known = table.c.event_id.in_(sa.select(of_user.c.event_id).where(of_user.c.user_key == user_key))
        dropped = sa.delete(table).where((table.c.user_key == guest_key) & is_known)
        if table is events:
            keys = events.c.user_key, events.c.item_key, events.c.type_key
            for event in set(connection.execute(dropped.returning(*keys)).all()):
                sum_anew(connection, event)
        else:
            connection.execute(dropped)


def _fill_in(connection: sa.Connection, user_key: int, guest: Any) -> None:
    is_user = users.c.user_key == user_key
    user = connection.execute(sa.select(users).where(is_user)).one()
    # The user's own values win; `|` takes the right operand's.
    country, attributes = user.country or guest.country, guest.attributes | user.attributes
    if (country, attributes) != (user.country, user.attributes):
        version = users.c.profile_version + 1
        filled = {"country": country, "attributes": attributes, "profile_version": version}
        connection.execute(sa.update(users).where(is_user).values(**filled))
