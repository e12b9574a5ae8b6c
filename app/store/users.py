"""Users, and what one request must know to read its own writes."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import sqlalchemy as sa

from app.entities import User
from app.store import counters
from app.store.database import Database
from app.store.lookup import Lookup, Row
from app.store.merging import Merged, merge_users
from app.store.ratings import REPLACED, STORED, UNCHANGED
from app.store.schema import events, interactions, ratings, users

STREAM_ROWS = 5_000
USER_FIELDS = frozenset(field.name for field in fields(User)) - {"user_id"}
FRESHNESS = Lookup(
    "SELECT catalogue.value AS catalogue, placements.value AS placements, users.user_key,"
    " coalesce(users.version, 0) AS version, coalesce(users.profile_version, 0) AS profile_version"
    " FROM counters AS catalogue JOIN counters AS placements ON placements.name = 'placements'"
    " LEFT JOIN users ON users.user_id = ? WHERE catalogue.name = 'catalogue'",
    by=str,
    columns=("catalogue", "placements", "user_key", "version", "profile_version"),
)


@dataclass(frozen=True, slots=True)
class UserVersions:
    """The versions a request compares with what it holds; `user_key` None: the user is not known.

    `placements_version` counts changes of placements and event types, `user_version` those of the user's ratings,
    `profile_version` those of the user's attributes and events.
    """

    catalogue_version: int
    placements_version: int
    user_key: int | None
    user_version: int
    profile_version: int

    @classmethod
    def of(cls, row: Row | None) -> Self:
        if row is None:
            raise LookupError("a counter is missing")  # a migrated database has it
        return cls(*row)


class Users:
    def __init__(self, database: Database) -> None:
        self._database = database

    def freshness(self, user_id: str) -> UserVersions:
        """All versions a request needs, in one read by the shortest way."""
        return UserVersions.of(self._database.dialect.hot_row(FRESHNESS.statement, user_id))

    def record(self, incoming: Sequence[User], given: Collection[str] = USER_FIELDS) -> list[int]:
        """Upsert in one transaction; only the `given` fields overwrite. For each user STORED, REPLACED or UNCHANGED."""
        newest = {user.user_id: user for user in incoming}
        with self._database.writing() as connection:
            known = self._ids_of_known(connection, list(newest))
            keys = self._database.dialect.user_keys(connection, list(newest)).tolist()
            rows = self._rows(connection, keys)
            changed = []
            statuses: dict[str, int] = {}
            for key, user in zip(keys, newest.values(), strict=True):
                row = {name: value for name, value in _to_row(user).items() if name in given}
                is_new = user.user_id not in known
                is_changed = any(rows[key][name] != value for name, value in row.items())
                if is_changed:
                    changed.append({"key": key, **row})
                statuses[user.user_id] = STORED if is_new else REPLACED if is_changed else UNCHANGED
            if changed:
                statement = sa.update(users).where(users.c.user_key == sa.bindparam("key"))
                overwritten: dict[str, Any] = {name: sa.bindparam(name) for name in given}
                version = users.c.profile_version + 1
                connection.execute(statement.values(**overwritten, profile_version=version), changed)
        return [statuses[user.user_id] for user in incoming]

    @staticmethod
    def _ids_of_known(connection: sa.Connection, user_ids: list[str]) -> set[str]:
        known: set[str] = set()
        for start in range(0, len(user_ids), STREAM_ROWS):
            part = user_ids[start : start + STREAM_ROWS]
            known |= set(connection.execute(sa.select(users.c.user_id).where(users.c.user_id.in_(part))).scalars())
        return known

    @staticmethod
    def _rows(connection: sa.Connection, keys: list[int]) -> dict[int, Any]:
        found: dict[int, Any] = {}
        for start in range(0, len(keys), STREAM_ROWS):
            statement = sa.select(users).where(users.c.user_key.in_(keys[start : start + STREAM_ROWS]))
            found |= {row["user_key"]: row for row in connection.execute(statement).mappings()}
        return found

    def get(self, user_id: str) -> User | None:
        with self._database.reading() as connection:
            row = connection.execute(sa.select(users).where(users.c.user_id == user_id)).one_or_none()
        return None if row is None else _to_user(row)

    def delete(self, user_id: str) -> bool:
        """Delete the user with all ratings, tombstones and events; False if there is none."""
        with self._database.writing() as connection:
            find = sa.select(users.c.user_key, users.c.version).where(users.c.user_id == user_id).with_for_update()
            row = connection.execute(find).one_or_none()
            if row is None:
                return False
            removed = connection.execute(sa.delete(ratings).where(ratings.c.user_key == row.user_key)).rowcount
            connection.execute(sa.delete(events).where(events.c.user_key == row.user_key))
            connection.execute(sa.delete(interactions).where(interactions.c.user_key == row.user_key))
            connection.execute(sa.delete(users).where(users.c.user_key == row.user_key))
            counters.grow(connection, "erased", row.version + removed)
        return True

    def merge(self, user_id: str, guest_id: str) -> Merged:
        """All that is known of the guest becomes the user's, and the guest is deleted; see `merge_users`."""
        return merge_users(self._database, user_id, guest_id)

    def stream(self) -> Iterator[User]:
        """All users in the order of keys."""
        return (user for _, user in self._by_key(sa.select(users)))

    def described(self) -> Iterator[tuple[int, User]]:
        """Those of whom anything is known beside their ratings, each with its key, in the order of keys."""
        is_described = users.c.country.is_not(None) | (sa.cast(users.c.attributes, sa.Text) != "{}")
        return self._by_key(sa.select(users).where(is_described))

    def _by_key(self, statement: sa.Select[Any]) -> Iterator[tuple[int, User]]:
        after = 0
        page = statement.order_by(users.c.user_key).limit(STREAM_ROWS)
        while True:
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
        found: dict[int, str] = {}
        with self._database.reading() as connection:
            for start in range(0, len(keys), STREAM_ROWS):
                part = [int(key) for key in keys[start : start + STREAM_ROWS]]
                statement = sa.select(users.c.user_key, users.c.user_id).where(users.c.user_key.in_(part))
                found |= {row.user_key: row.user_id for row in connection.execute(statement)}
        return found


def _to_row(user: User) -> dict[str, Any]:
    return {"country": user.country, "attributes": dict(user.attributes)}


def _to_user(row: Any) -> User:
    return User(user_id=row.user_id, country=row.country, attributes=row.attributes)
