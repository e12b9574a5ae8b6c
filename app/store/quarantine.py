"""Users whose profiles training leaves out, because they were made to push an item, and those that were released."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import sqlalchemy as sa

from app.entities import from_microseconds
from app.errors import NotFoundError
from app.store.database import Database
from app.store.dialect import KeyArray
from app.store.jobs import Claim, refuse_lost
from app.store.schema import items, quarantine, users
from app.store.signals import Signals, signals_of_users
from app.store.trends import audiences_of, change_trends, lock_trends

CHUNK_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class QuarantinedUser:
    """`item_id`: what the profile pushes; None if the item is deleted. `found_at`: when a run first said so.

    `released_at`: when an operator released the user; None while the user is in quarantine.
    """

    user_id: str
    item_id: str | None
    found_at: datetime
    released_at: datetime | None


class Quarantine:
    def __init__(self, database: Database) -> None:
        self._database = database

    def released(self) -> KeyArray:
        """The keys of released users, ascending."""
        found = sa.select(quarantine.c.user_key).where(quarantine.c.released_at.is_not(None))
        with self._database.reading() as connection:
            keys = connection.execute(found.order_by(quarantine.c.user_key)).scalars().all()
        return np.array(keys, dtype=np.int64)

    def held(self) -> tuple[KeyArray, KeyArray]:
        """((n,) keys of the users in quarantine, ascending, (n,) keys of the items that they push)."""
        found = sa.select(quarantine.c.user_key, quarantine.c.item_key).where(quarantine.c.released_at.is_(None))
        with self._database.reading() as connection:
            rows = connection.execute(found.order_by(quarantine.c.user_key)).all()
        user_key, item_key = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2).T
        return user_key, item_key

    def replace(self, claim: Claim, user_keys: KeyArray, item_keys: KeyArray) -> None:
        """Puts these users (n,) into quarantine for these items (n,), and takes all others out of it.

        Raises `LeaseLostError` once another worker has taken over the job that found them. Released users stay
        released. Trends lose what the first raised them by, and get back that of the others. A
        transaction for each chunk of users, so that other writers need not wait long.
        """
        pushed = dict(zip(user_keys.tolist(), item_keys.tolist(), strict=True))
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(quarantine.c.user_key, quarantine.c.released_at)).all()
        known = {row.user_key: row.released_at for row in rows}
        over = {key for key, released_at in known.items() if released_at is None and key not in pushed}
        changed = sorted(over | (pushed.keys() - known.keys()))
        for start in range(0, len(changed), CHUNK_ROWS):
            keys = changed[start : start + CHUNK_ROWS]
            # A user who was deleted since the data were read must leave nothing behind.
            with self._changing(keys, claim) as (connection, stored):
                now = self._database.dialect.now(connection)
                is_over = quarantine.c.user_key.in_(over.intersection(keys)) & quarantine.c.released_at.is_(None)
                connection.execute(sa.delete(quarantine).where(is_over))
                added = [
                    {"user_key": key, "item_key": pushed[key], "found_at": now} for key in stored if key not in over
                ]
                if added:
                    connection.execute(sa.insert(quarantine), added)

    @contextmanager
    def _changing(
        self, user_keys: Sequence[int], claim: Claim | None = None
    ) -> Iterator[tuple[sa.Connection, Sequence[int]]]:
        """A transaction that changes the quarantine of some users, and those of them who are stored; moves trends.

        `claim`: of the run that changes it, which must hold; None for an operator.
        """
        with self._database.writing() as connection:
            if claim is not None:
                refuse_lost(connection, claim)
            # With their users locked, no signals of theirs come or go.
            are_some = sa.select(users.c.user_key).where(users.c.user_key.in_(user_keys)).order_by(users.c.user_key)
            stored = connection.execute(are_some.with_for_update(key_share=True)).scalars().all()
            lock_trends(self._database, connection)
            signals = signals_of_users(self._database, connection, stored) if stored else Signals.none()
            before = audiences_of(self._database, connection, stored)
            yield connection, stored
            after = audiences_of(self._database, connection, stored)
            change_trends(self._database, connection, signals, signals, before, after)

    def entries(self, limit: int) -> Sequence[QuarantinedUser]:
        """Those found last come first."""
        statement = (
            sa.select(users.c.user_id, items.c.item_id, quarantine.c.found_at, quarantine.c.released_at)
            .join(users, users.c.user_key == quarantine.c.user_key)
            .outerjoin(items, (items.c.item_key == quarantine.c.item_key) & ~items.c.is_deleted)
            .order_by(quarantine.c.found_at.desc(), quarantine.c.item_key, quarantine.c.user_key)
        )
        with self._database.reading() as connection:
            rows = connection.execute(statement.select_from(quarantine).limit(limit)).all()
        return [
            QuarantinedUser(
                row.user_id,
                row.item_id,
                from_microseconds(row.found_at),
                None if row.released_at is None else from_microseconds(row.released_at),
            )
            for row in rows
        ]

    def release(self, user_id: str) -> None:
        """Later runs learn from the user again, and trends count the user at once.

        Raises `NotFoundError` for a user who is not in quarantine.
        """
        with self._database.reading() as connection:
            key = connection.execute(sa.select(users.c.user_key).where(users.c.user_id == user_id)).scalar()
        with self._changing([] if key is None else [key]) as (connection, stored):
            now = self._database.dialect.now(connection)
            is_held = quarantine.c.user_key.in_(stored) & quarantine.c.released_at.is_(None)
            released = connection.execute(sa.update(quarantine).where(is_held).values(released_at=now))
            if not released.rowcount:
                raise NotFoundError("quarantined user", user_id)
