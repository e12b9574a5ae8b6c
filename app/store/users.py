"""Users: their attributes and versions, their deletion, and merging a guest into a user."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from app.entities import User
from app.store import counters
from app.store.database import Database
from app.store.merging import Merged, merge_users
from app.store.ratings import REPLACED, STORED, UNCHANGED
from app.store.schema import events, interactions, ratings, users
from app.store.serving_reads import VERSIONS, UserVersions

STREAM_ROWS = 5_000
USER_FIELDS = frozenset(field.name for field in fields(User)) - {"user_id"}


class Users:
    def __init__(self, database: Database) -> None:
        self._database = database

    def freshness(self, user_id: str) -> UserVersions:
        """All versions that a request needs. Blocks; `ServingReads.freshness` is the same for coroutines."""
        return UserVersions.from_row(self._database.dialect.hot_row(VERSIONS.statement, user_id))

    def record(self, incoming: Sequence[User], given: Collection[str] = USER_FIELDS) -> list[int]:
        """Upserts in one transaction; only the `given` fields overwrite. STORED, REPLACED or UNCHANGED for each."""
        # Of equal ids the last one counts, as if they had been written one after the other.
        newest = {user.user_id: user for user in incoming}
        with self._database.writing() as connection:
            # Before the keys are resolved, which inserts the missing users.
            known = self._known_ids(connection, list(newest))
            keys = self._database.dialect.user_keys(connection, list(newest)).tolist()
            rows = self._rows(connection, keys)
            changed = []
            statuses: dict[str, int] = {}
            for key, user in zip(keys, newest.values(), strict=True):
                row = {name: value for name, value in _to_row(user).items() if name in given}
                is_new = user.user_id not in known
                # An unchanged row keeps its version, so that a repeated import invalidates no answer.
                is_changed = any(rows[key][name] != value for name, value in row.items())
                if is_changed:
                    changed.append({"key": key, **row})
                statuses[user.user_id] = STORED if is_new else REPLACED if is_changed else UNCHANGED
            if changed:
                # One statement for all rows, which the driver executes in bulk.
                statement = sa.update(users).where(users.c.user_key == sa.bindparam("key"))
                overwritten: dict[str, Any] = {name: sa.bindparam(name) for name in given}
                version = users.c.profile_version + 1
                connection.execute(statement.values(**overwritten, profile_version=version), changed)
        return [statuses[user.user_id] for user in incoming]

    @staticmethod
    def _known_ids(connection: sa.Connection, user_ids: list[str]) -> set[str]:
        known: set[str] = set()
        for start in range(0, len(user_ids), STREAM_ROWS):
            part = user_ids[start : start + STREAM_ROWS]
            known |= set(connection.execute(sa.select(users.c.user_id).where(users.c.user_id.in_(part))).scalars())
        return known

    @staticmethod
    def _rows(connection: sa.Connection, keys: list[int]) -> dict[int, Any]:
        rows: dict[int, Any] = {}
        for start in range(0, len(keys), STREAM_ROWS):
            statement = sa.select(users).where(users.c.user_key.in_(keys[start : start + STREAM_ROWS]))
            rows |= {row["user_key"]: row for row in connection.execute(statement).mappings()}
        return rows

    def get(self, user_id: str) -> User | None:
        with self._database.reading() as connection:
            row = connection.execute(sa.select(users).where(users.c.user_id == user_id)).one_or_none()
        return None if row is None else _to_user(row)

    def delete(self, user_id: str) -> bool:
        """Deletes the user with all ratings, tombstones and events; False if there is none."""
        with self._database.writing() as connection:
            find = sa.select(users.c.user_key, users.c.version).where(users.c.user_id == user_id).with_for_update()
            row = connection.execute(find).one_or_none()
            if row is None:
                return False
            # There are no foreign keys: everything that refers to the user is deleted here.
            removed = connection.execute(sa.delete(ratings).where(ratings.c.user_key == row.user_key)).rowcount
            connection.execute(sa.delete(events).where(events.c.user_key == row.user_key))
            connection.execute(sa.delete(interactions).where(interactions.c.user_key == row.user_key))
            connection.execute(sa.delete(users).where(users.c.user_key == row.user_key))
            # The user's version leaves the sum of all versions, and the removed ratings are changes of their own.
            counters.grow(connection, "erased", row.version + removed)
        return True

    def merge(self, user_id: str, guest_id: str) -> Merged:
        """Moves everything known of the guest to the user and deletes the guest; see `merge_users`."""
        return merge_users(self._database, user_id, guest_id)

    def stream(self) -> Iterator[User]:
        """All users in the order of keys."""
        return (user for _, user in self._by_key(sa.select(users)))

    def with_profiles(self) -> Iterator[tuple[int, User]]:
        """The users with a country or attributes, each with its key, in the order of keys."""
        has_profile = users.c.country.is_not(None) | (sa.cast(users.c.attributes, sa.Text) != "{}")
        return self._by_key(sa.select(users).where(has_profile))

    def _by_key(self, statement: sa.Select[Any]) -> Iterator[tuple[int, User]]:
        after = 0
        page = statement.order_by(users.c.user_key).limit(STREAM_ROWS)
        while True:
            # A transaction for each page, so that a slow consumer holds none open.
            with self._database.reading() as connection:
                rows = connection.execute(page.where(users.c.user_key > after)).all()
            if not rows:
                return
            yield from ((row.user_key, _to_user(row)) for row in rows)
            after = rows[-1].user_key

    def count(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(users)).scalar_one())

    def ids_of(self, keys: Sequence[int]) -> dict[int, str]:
        """Public ids by key, for those that still exist."""
        ids: dict[int, str] = {}
        with self._database.reading() as connection:
            for start in range(0, len(keys), STREAM_ROWS):
                part = [int(key) for key in keys[start : start + STREAM_ROWS]]
                statement = sa.select(users.c.user_key, users.c.user_id).where(users.c.user_key.in_(part))
                ids |= {row.user_key: row.user_id for row in connection.execute(statement)}
        return ids


def _to_row(user: User) -> dict[str, Any]:
    return {"country": user.country, "attributes": dict(user.attributes)}


def _to_user(row: Any) -> User:
    return User(user_id=row.user_id, country=row.country, attributes=row.attributes)
