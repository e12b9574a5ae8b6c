"""A guest becomes a user: all that is known of the one becomes the other's, in one transaction."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from app.entities import UNKNOWN_TIME, InteractionColumns
from app.errors import NotFoundError
from app.store import counters
from app.store.database import Database
from app.store.events import add_interactions
from app.store.ratings import UNCHANGED, decide
from app.store.schema import events, interactions, items, ratings, users

AMOUNTS = ("item_key", "type_key", "count", "first_at", "last_at", "portion")


class NoGuestError(NotFoundError):
    """Also the answer to a merge that is asked for again."""

    def __init__(self, guest_id: str) -> None:
        super().__init__("user", guest_id)
        self.detail += " to merge; one that was merged is gone"


@dataclass(frozen=True, slots=True)
class Merged:
    """How much of the guest's changed the user."""

    n_ratings: int
    n_events: int


def merge_users(database: Database, user_id: str, guest_id: str) -> Merged:
    """Ratings by the rule of the upsert, interactions added up; the guest fills what the user lacks, and is deleted.

    What the guest made (`created_by`) is the user's. The user is made if need be. Raises `NoGuestError` where there is
    no guest.
    """
    find = sa.select(users.c.user_key).where(users.c.user_id == guest_id)
    with database.writing() as connection:
        found = connection.execute(find).scalar_one_or_none()
        if found is None:
            raise NoGuestError(guest_id)
        user_key, guest_key = database.dialect.user_keys(connection, [user_id, guest_id]).tolist()
        if guest_key != found:  # gone before we had its lock, and made anew for us
            raise NoGuestError(guest_id)
        _move_items(connection, user_id, guest_id)
        merged = Merged(
            _move_ratings(database, connection, user_key, guest_key),
            _move_events(database, connection, user_key, guest_key),
        )
        guest = connection.execute(sa.select(users).where(users.c.user_key == guest_key)).one()
        _fill_in(connection, user_key, guest)
        connection.execute(sa.delete(users).where(users.c.user_key == guest_key))
        counters.grow(connection, "erased", guest.version)
    return merged


def _move_items(connection: sa.Connection, user_id: str, guest_id: str) -> None:
    """Goes through the whole catalogue, 10 ms for 100,000 items: an index would cost every change of one."""
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
    moves = decided.status != UNCHANGED
    n_moved = int(moves.sum())
    if n_moved:
        owner = np.full(n_moved, user_key)
        database.dialect.write_ratings(connection, owner, item_key[moves], value[moves], rated_at[moves])
        database.dialect.bump_users(connection, np.array([user_key]), np.array([n_moved]))
    connection.execute(sa.delete(ratings).where(ratings.c.user_key == guest_key))
    return n_moved


def _move_events(database: Database, connection: sa.Connection, user_key: int, guest_key: int) -> int:
    statement = sa.select(*(interactions.c[name] for name in AMOUNTS)).where(interactions.c.user_key == guest_key)
    rows = connection.execute(statement.order_by(interactions.c.item_key, interactions.c.type_key)).all()
    if not rows:
        return 0
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    columns[-1] = columns[-1].astype(np.float64)
    add_interactions(database, connection, InteractionColumns(np.full(len(rows), user_key), *columns))
    connection.execute(sa.delete(interactions).where(interactions.c.user_key == guest_key))
    moved = sa.update(events).where(events.c.user_key == guest_key).values(user_key=user_key)
    n_moved = connection.execute(moved).rowcount
    database.dialect.bump_users(connection, np.array([user_key]), np.array([n_moved]), of="profile_version")
    return n_moved


def _fill_in(connection: sa.Connection, user_key: int, guest: Any) -> None:
    is_user = users.c.user_key == user_key
    user = connection.execute(sa.select(users).where(is_user)).one()
    country, attributes = user.country or guest.country, guest.attributes | user.attributes
    if (country, attributes) != (user.country, user.attributes):
        version = users.c.profile_version + 1
        filled = {"country": country, "attributes": attributes, "profile_version": version}
        connection.execute(sa.update(users).where(is_user).values(**filled))
