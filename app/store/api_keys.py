"""API keys: their digests, scopes and times. Every change grows the counter `keys`, which each process compares."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.auth.key_ring import StoredKeys
from app.auth.keys import ApiKey
from app.entities import from_microseconds, to_microseconds
from app.errors import ConflictError, NotFoundError
from app.store import counters
from app.store.database import Database
from app.store.schema import api_keys, instance, tenants

TIMES = ("created_at", "expires_at", "revoked_at", "last_used_at")
LISTS = ("scopes", "origins")


class ApiKeys:
    """A `KeyTable` that can be changed. Keys are never deleted, so that the ids of the audit log can be looked up."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self) -> tuple[str, int]:
        """The generation of the database too: the counter of a restored one may be the same as before."""
        with self._database.reading() as connection:
            return _version(connection)

    def read(self) -> StoredKeys:
        with self._database.reading() as connection:
            # The version first: keys that change between the two reads are then read again.
            version = _version(connection)
            rows = connection.execute(sa.select(api_keys).order_by(api_keys.c.created_at, api_keys.c.key_id))
            keys = [_to_key(row) for row in rows]
            names = connection.execute(sa.select(tenants.c.name).where(tenants.c.state == "active"))
            return StoredKeys(version, keys, frozenset(names.scalars()))

    def get(self, key_id: str) -> ApiKey:
        """Raises `NotFoundError`."""
        with self._database.reading() as connection:
            return _stored(connection, key_id)

    def now(self) -> datetime:
        """The clock of the database, which all processes share."""
        with self._database.reading() as connection:
            return from_microseconds(self._database.dialect.now(connection))

    def add(self, key: ApiKey, creator_id: str | None = None) -> None:
        """Store a new key. `creator_id`: the key that asked for it.

        Raises `ConflictError` if that one is not valid any more, or the tenant of the new key is not active: both may
        have changed since they were looked at.
        """
        with self._database.writing() as connection:
            counters.lock(connection, "keys")
            now = from_microseconds(self._database.dialect.now(connection))
            if creator_id is not None and not _stored(connection, creator_id).is_valid(now):
                raise ConflictError(f"the key {creator_id} is not valid any more")
            if key.tenant is not None:
                state = sa.select(tenants.c.state).where(tenants.c.name == key.tenant)
                if connection.execute(state).scalar_one_or_none() not in {"active", "suspended"}:
                    message = f"the tenant {key.tenant} takes no keys: it is not ready, being deleted, or no more"
                    raise ConflictError(message)
            connection.execute(sa.insert(api_keys).values(**_to_row(key)))
            counters.grow(connection, "keys")

    def revoke(self, key_id: str) -> ApiKey:
        """Revoke the key; one that is revoked already stays as it is. Raises `NotFoundError`."""
        with self._database.writing(uses_reserve=True) as connection:
            self._database.dialect.begin_lasting(connection)
            counters.lock(connection, "keys")
            key = _stored(connection, key_id)
            if key.revoked_at is not None:
                return key
            key = replace(key, revoked_at=from_microseconds(self._database.dialect.now(connection)))
            _update(connection, key)
            counters.grow(connection, "keys")
        return key

    def roll(self, key_id: str, new_id: str, new_digest: bytes, overlap: timedelta) -> tuple[ApiKey, ApiKey]:
        """Store a new key with all that the old one allows, and let the old one expire after the overlap.

        The new one is valid for as long as the old one was from its creation. Returns the new and the old key. Raises
        `NotFoundError`, and `ConflictError` for a key that is not valid any more.
        """
        with self._database.writing() as connection:
            self._database.dialect.begin_lasting(connection)
            counters.lock(connection, "keys")
            old = _stored(connection, key_id)
            now = from_microseconds(self._database.dialect.now(connection))
            if not old.is_valid(now):
                raise ConflictError(f"the key {key_id} is not valid any more: create a new one")
            expires_at = None if old.expires_at is None else now + (old.expires_at - old.created_at)
            new = replace(
                old, key_id=new_id, digest=new_digest, created_at=now, expires_at=expires_at, last_used_at=None
            )
            old = replace(old, expires_at=min(now + overlap, old.expires_at or now + overlap))
            connection.execute(sa.insert(api_keys).values(**_to_row(new)))
            _update(connection, old)
            counters.grow(connection, "keys")
        return new, old

    def record_uses(self, used_at: Mapping[str, datetime]) -> None:
        """Without growing the counter: the times of uses decide nothing."""
        with self._database.writing() as connection:
            # In the order of the ids, as in every process, so that two of them cannot deadlock.
            for key_id, at in sorted(used_at.items()):
                used = to_microseconds(at)
                is_older = sa.func.coalesce(api_keys.c.last_used_at, 0) < used
                statement = sa.update(api_keys).where(api_keys.c.key_id == key_id, is_older)
                connection.execute(statement.values(last_used_at=used))


def key_rows(database: Database) -> Sequence[sa.Row[Any]]:
    """What a database that is to be replaced knows, for `end_again`."""
    with database.reading() as connection:
        return connection.execute(sa.select(api_keys)).all()


def end_again(database: Database, known: Iterable[sa.Row[Any]]) -> None:
    """End the keys of a restored database no later than in the one that it replaces, of which `known` are the keys.

    Those that were created since the backup are stored as revoked ones. So a service that had keys stays closed.
    """
    with database.writing(uses_reserve=True) as connection:
        stored = set(connection.execute(sa.select(api_keys.c.key_id)).scalars())
        now = database.dialect.now(connection)
        for key in known:
            if key.key_id not in stored:
                revoked_at = now if key.revoked_at is None else key.revoked_at
                values = {**key._mapping, "revoked_at": revoked_at}  # noqa: SLF001  SQLAlchemy's own name
                connection.execute(sa.insert(api_keys).values(**values))
                continue
            ends = {}
            for name in ("expires_at", "revoked_at"):
                if (at := getattr(key, name)) is not None:
                    column = api_keys.c[name]
                    ends[name] = sa.case((column < at, column), else_=at)  # also where the column is NULL
            if ends:
                connection.execute(sa.update(api_keys).where(api_keys.c.key_id == key.key_id).values(ends))


def _version(connection: sa.Connection) -> tuple[str, int]:
    generation = connection.execute(sa.select(instance.c.generation)).scalar_one()
    return generation, counters.read(connection, "keys")


def _stored(connection: sa.Connection, key_id: str) -> ApiKey:
    row = connection.execute(sa.select(api_keys).where(api_keys.c.key_id == key_id)).one_or_none()
    if row is None:
        raise NotFoundError("API key", key_id)
    return _to_key(row)


def _update(connection: sa.Connection, key: ApiKey) -> None:
    connection.execute(sa.update(api_keys).where(api_keys.c.key_id == key.key_id).values(**_to_row(key)))


def _to_row(key: ApiKey) -> dict[str, Any]:
    values = {field.name: getattr(key, field.name) for field in fields(key)}
    values |= {name: list(values[name]) for name in LISTS}
    values |= {name: None if values[name] is None else to_microseconds(values[name]) for name in TIMES}
    return values


def _to_key(row: Any) -> ApiKey:
    values = {field.name: getattr(row, field.name) for field in fields(ApiKey)}
    values |= {name: tuple(values[name]) for name in LISTS}
    values |= {name: None if values[name] is None else from_microseconds(values[name]) for name in TIMES}
    return ApiKey(**values | {"digest": bytes(row.digest)})
