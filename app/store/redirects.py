"""Where the late ratings and events of merged guests go.

A merge leaves the guest's id with the user's key for `REDIRECTS_KEPT`. An id is looked up only when its user is
inserted, so that writes of known users cost the same. Every redirect leads to an existing user and no user's own id has
one, so there are neither chains nor cycles: a further merge moves the redirects to the new user. They end when the id
is put as a user, when the user is deleted, or with time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import sqlalchemy as sa

from app.entities import IncomingEvents, IncomingRatings
from app.store.database import Database
from app.store.schema import redirects

REDIRECTS_KEPT = timedelta(days=90)
TARGETS = (
    "SELECT redirects.user_id, users.user_id FROM redirects JOIN users ON users.user_key = redirects.user_key"
    " WHERE redirects.user_id = ?"
)
GUESTS = (
    "SELECT users.user_id, redirects.user_id FROM redirects JOIN users ON users.user_key = redirects.user_key"
    " WHERE users.user_id = ?"
)
CHUNK_IDS = 5_000

Incoming = TypeVar("Incoming", IncomingRatings, IncomingEvents)


class RedirectedError(Exception):
    """Users that a transaction has inserted are merged guests; it is undone, and tried again with the users' ids."""

    def __init__(self, targets: dict[str, str]) -> None:
        super().__init__(targets)
        self.targets = targets


def targets_of(database: Database, connection: sa.Connection, user_ids: Sequence[str]) -> dict[str, str]:
    """The ids of the users to whom those of the distinct ids lead that are of merged guests."""
    return dict(database.dialect.rows_of(connection, TARGETS, user_ids)) if user_ids else {}


def guests_of(database: Database, connection: sa.Connection, user_ids: Sequence[str]) -> dict[str, set[str]]:
    """The ids of the guests that were merged into those of the distinct users."""
    guests: dict[str, set[str]] = {}
    for user_id, guest_id in database.dialect.rows_of(connection, GUESTS, user_ids):
        guests.setdefault(user_id, set()).add(guest_id)
    return guests


def refuse_redirected(database: Database, connection: sa.Connection, inserted: Sequence[str]) -> None:
    """Raises `RedirectedError` if any of the users just inserted is a merged guest."""
    targets = targets_of(database, connection, inserted)
    if targets:
        raise RedirectedError(targets)


def with_targets(incoming: Incoming, targets: Mapping[str, str]) -> Incoming:
    """The same rows, those of merged guests by the users' ids."""
    return replace(incoming, user_id=[targets.get(user_id, user_id) for user_id in incoming.user_id])


def add_redirect(connection: sa.Connection, guest_id: str, guest_key: int, user_key: int, *, now: int) -> None:
    """Leads the guest's id, and all that led to the guest, to the user; both users are locked by the caller."""
    moved = sa.update(redirects).where(redirects.c.user_key == guest_key)
    connection.execute(moved.values(user_key=user_key))
    connection.execute(sa.insert(redirects).values(user_id=guest_id, user_key=user_key, merged_at=now))


def end_redirects(connection: sa.Connection, user_ids: Sequence[str]) -> None:
    """Ends those from ids, which have become users."""
    for start in range(0, len(user_ids), CHUNK_IDS):
        part = user_ids[start : start + CHUNK_IDS]
        connection.execute(sa.delete(redirects).where(redirects.c.user_id.in_(part)))


def purge_redirects(connection: sa.Connection, *, now: int) -> int:
    """Ends those older than `REDIRECTS_KEPT`; returns how many."""
    before = now - REDIRECTS_KEPT // timedelta(microseconds=1)
    return connection.execute(sa.delete(redirects).where(redirects.c.merged_at < before)).rowcount
