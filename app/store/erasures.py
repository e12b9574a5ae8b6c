"""Erasures of users: what a deletion removes at once, and the record that remains of it.

A deletion removes every row of the user in one transaction. Until the erasure is completed (`app.erasure`), the user's
data are left in snapshots and in freed space of the database. The record says what was removed and how far the erasure
is. It names no user: it holds a salted hash, by which an id can be compared with a receipt, and a keyed fingerprint,
which never leaves the database and by which `reckon restore` finds the users that a backup brings back.

Erasures are numbered by a counter in the transaction of the deletion. A training run reads the counter together with
the data, so a snapshot is without the user of an erasure if its number of erasures is that number or higher.

An id that comes back is that of a new user. A late rating or event of an erased user creates one, because a memory of
erased ids would keep what is to be erased.
"""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from app.entities import from_microseconds
from app.errors import NotFoundError
from app.store import counters
from app.store.database import Database
from app.store.former_snapshots import delete_snapshots
from app.store.imports import delete_rows, may_name
from app.store.kept_answers import empty_answers_of
from app.store.schema import (
    backups,
    deleted_events,
    erasures,
    events,
    instance,
    interactions,
    items,
    quarantine,
    ratings,
    redirects,
    snapshots,
    users,
)
from app.store.signals import Signals, signals_of_users
from app.store.snapshots import n_erasures_of
from app.store.trends import audiences_of, change_trends, lock_trends

ERASED_WITHIN = timedelta(hours=24)
OF_A_USER = (ratings, events, interactions, redirects, deleted_events, quarantine)
"""Every table whose rows belong to a user by `user_key`. A new one is added here; a test compares them."""

ALSO_NAMED = {"items": {"items", "redirects"}, "events": {"named_events"}}
"""Large tables whose rows may name a user -> the kinds of removed data that tell of it."""

COST = 1 << 14
HASH = f"scrypt, n={COST}, r=8, p=1, 32 bytes"
"""A slow hash (RFC 7914): ids are often short numbers, which a fast one would let be found by trying all of them."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of the database that `reckon backup` made; `file`: the name of the file."""

    file: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Erasure:
    """One deletion of a user.

    `salt`, `user_hash`: hexadecimal, see `hash_of`.
    `due_at`: when it should be completed. `completed_at`: None while it is pending.
    `removed`: how much of each kind was removed so far. `removed_snapshots`: versions of snapshots that were removed.
    `snapshot_version`: the snapshot without the user that made the completion possible; None without any snapshot.
    `backups`: copies of the database from before the deletion, as far as they are known.
    """

    number: int
    erasure_id: str
    salt: str
    user_hash: str
    requested_at: datetime
    due_at: datetime
    completed_at: datetime | None
    removed: Mapping[str, int]
    removed_snapshots: tuple[int, ...]
    snapshot_version: int | None
    backups: tuple[Backup, ...]


class Erasures:
    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, erasure_id: str) -> Erasure:
        with self._database.reading() as connection:
            row = connection.execute(sa.select(erasures).where(erasures.c.erasure_id == erasure_id)).one_or_none()
        if row is None:
            raise NotFoundError("erasure", erasure_id)
        return _to_erasure(row)

    def latest(self, limit: int) -> list[Erasure]:
        """The newest erasures, newest first."""
        newest = sa.select(erasures).order_by(erasures.c.number.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_to_erasure(row) for row in connection.execute(newest)]

    def pending(self, limit: int | None = None) -> list[Erasure]:
        """Those that are not completed, oldest first; with `limit`, so many of them at most."""
        with self._database.reading() as connection:
            rows = connection.execute(
                sa.select(erasures).where(erasures.c.completed_at.is_(None)).order_by(erasures.c.number).limit(limit)
            )
            return [_to_erasure(row) for row in rows]

    def count_open(self) -> tuple[int, int]:
        """How many are pending, and how many of them are overdue."""
        with self._database.reading() as connection:
            now = self._database.dialect.now(connection)
            overdue = sa.func.count(sa.case((erasures.c.due_at < now, 1)))
            of_open = sa.select(sa.func.count(), overdue).where(erasures.c.completed_at.is_(None))
            n_pending, n_overdue = connection.execute(of_open.select_from(erasures)).one()
        return n_pending, n_overdue

    def purge(self, pending: Sequence[Erasure]) -> None:
        """Removes what the deleted rows have left in the files of the database; see `Dialect.purge`."""
        kinds = {kind for erasure in pending for kind, n in erasure.removed.items() if n}
        # A merge has changed the creator of a guest's items.
        also = {table for table, causes in ALSO_NAMED.items() if kinds & causes}
        self._database.purge(also)

    def retire_snapshots(self, ready: Sequence[Erasure], *, with_live: bool) -> list[int]:
        """Removes the entries of snapshots that hold any of the users; returns their versions.

        `with_live`: also that of the live snapshot, so that popular items are served.
        """
        newest = max(erasure.number for erasure in ready)
        with self._database.writing(uses_reserve=True) as connection:
            rows = connection.execute(sa.select(snapshots.c.version, snapshots.c.card, snapshots.c.is_live)).all()
            held = [row for row in rows if n_erasures_of(row.card) < newest and (with_live or not row.is_live)]
            # What is kept of them are figures over many users.
            is_held = snapshots.c.version.in_([row.version for row in held])
            versions = [*delete_snapshots(self._database, connection, "erasure", is_held)]
            # In the same transaction: a worker that completes the erasures after a crash must know of it.
            for number, removed in connection.execute(
                _of(ready, erasures.c.number, erasures.c.removed_snapshots)
            ).all():
                statement = sa.update(erasures).where(erasures.c.number == number)
                connection.execute(statement.values(removed_snapshots=[*removed, *versions]))
        return versions

    def complete(self, ready: Sequence[Erasure], *, snapshot_version: int | None, n_rejected_files: int) -> None:
        """Completes pending erasures. `n_rejected_files`: of files with rejected rows that were removed for them."""
        with self._database.writing(uses_reserve=True) as connection:
            now = self._database.dialect.now(connection)
            known = connection.execute(sa.select(backups).order_by(backups.c.made_at)).all()
            columns = (erasures.c.number, erasures.c.requested_at, erasures.c.removed)
            for number, requested_at, removed in connection.execute(_of(ready, *columns)).all():
                older = [[each.file, each.made_at] for each in known if each.made_at <= requested_at]
                values = {"completed_at": now, "snapshot_version": snapshot_version, "backups": older}
                statement = sa.update(erasures).where(erasures.c.number == number)
                connection.execute(statement.values(**values, removed=removed | {"rejected_files": n_rejected_files}))


def _of(ready: Sequence[Erasure], *columns: sa.Column[Any]) -> sa.Select[Any]:
    """Of those that are still pending; another worker may have completed some."""
    is_one = erasures.c.number.in_([erasure.number for erasure in ready]) & erasures.c.completed_at.is_(None)
    return sa.select(*columns).where(is_one).order_by(erasures.c.number)


def hash_of(user_id: str, salt: str) -> str:
    """The hash of an id for receipts, hexadecimal. `salt`: hexadecimal."""
    # The other parameters are those that `HASH` names.
    digest = hashlib.scrypt(user_id.encode(), salt=bytes.fromhex(salt), n=COST, r=8, p=1, dklen=32)
    return digest.hex()


def erase_user(database: Database, user_id: str, *, within: timedelta = ERASED_WITHIN) -> Erasure | None:
    """Deletes everything that is stored of the user, and records it as an erasure; None if nothing is stored.

    Guests who were merged into the user are part of the user. An id without a user may be that of a merged guest, or of
    the creator of items: it is removed there.
    """
    # Most ids that are not stored are deleted twice, and the hash takes 40 ms. The rejected rows come last: `any` reads
    # them only if nothing else is stored of the user.
    with database.reading() as connection:
        database.dialect.begin_lasting(connection)
        if not any(connection.execute(sa.select(condition)).scalar_one() for condition in _places(user_id)):
            return None
    salt = secrets.token_hex(16)
    user_hash = hash_of(user_id, salt)
    with database.writing(uses_reserve=True) as connection:
        database.dialect.begin_lasting(connection)
        return _erase(database, connection, user_id, salt, user_hash, within)


def _erase(
    database: Database, connection: sa.Connection, user_id: str, salt: str, user_hash: str, within: timedelta
) -> Erasure | None:
    # A guest who was merged into the user is the same person.
    is_user = sa.select(users.c.user_key).where(users.c.user_id == user_id).scalar_subquery()
    guests = connection.execute(sa.select(redirects.c.user_id).where(redirects.c.user_key == is_user)).scalars().all()
    removed = _remove(database, connection, user_id)
    # They are texts as they came in, in which no id can be told from other words.
    removed["rejected_rows"] = delete_rows(database, connection)
    if not any(removed.values()):
        return None
    # Grown in this transaction, so that a reader of the counter sees the rows go at the same moment. Before the time is
    # read, see `record_backup`.
    number = counters.grow(connection, "erasures")
    now = database.dialect.now(connection)
    values = {
        "number": number,
        "erasure_id": uuid.uuid4().hex,
        "salt": salt,
        "user_hash": user_hash,
        "fingerprint": " ".join(_fingerprint(_key(connection), each) for each in (user_id, *guests)),
        "requested_at": now,
        "due_at": now + within // timedelta(microseconds=1),
        "removed": removed,
    }
    return _to_erasure(connection.execute(sa.insert(erasures).values(**values).returning(erasures)).one())


def record_backup(database: Database, file: str) -> int:
    """Remember a copy of the database that is about to be made, for the receipts of erasures; return its time.

    The copy holds no user whose erasure has an earlier time: those in progress are awaited here, and later ones get a
    later time.
    """
    with database.writing(uses_reserve=True) as connection:
        counters.lock(connection, "erasures")
        made_at = database.dialect.now(connection)
        connection.execute(sa.insert(backups).values(made_at=made_at, file=file))
    return made_at


def forget_backup(database: Database, made_at: int) -> None:
    """Forget a copy of which nothing was kept."""
    with database.writing(uses_reserve=True) as connection:
        connection.execute(sa.delete(backups).where(backups.c.made_at == made_at))


class ErasureRecords(NamedTuple):
    """All rows of the tables of erasures and of backups."""

    erasures: Sequence[sa.Row[Any]]
    backups: Sequence[sa.Row[Any]]


def erasure_records(database: Database) -> ErasureRecords:
    """What a database that is to be replaced knows, for `erase_again`."""
    with database.reading() as connection:
        return ErasureRecords(*(connection.execute(sa.select(table)).all() for table in (erasures, backups)))


def erase_again(database: Database, known: ErasureRecords) -> int:
    """Erases from a restored `database` the users that were erased from the one it replaces.

    Returns the number of users and of rejected rows that this removed.

    `known`: by the one it replaces. The records of these erasures are taken over as well: the restored state does not
    know them.
    """
    with database.writing(uses_reserve=True) as connection:
        key = _key(connection)
        newest = counters.read(connection, "erasures")
        missing = [dict(row._mapping) for row in known.erasures if row.number > newest]  # noqa: SLF001  SQLAlchemy's own name
        for record in missing:
            connection.execute(sa.insert(erasures).values(**record))
            counters.grow(connection, "erasures")
        n_rows = delete_rows(database, connection) if missing else 0
        stored = set(connection.execute(sa.select(backups.c.made_at)).scalars())
        for each in known.backups:
            if each.made_at not in stored:
                connection.execute(sa.insert(backups).values(made_at=each.made_at, file=each.file))
        ids = connection.execute(sa.union(*_all_ids())).scalars().all()
    erased = {fingerprint for record in missing for fingerprint in record["fingerprint"].split()}
    returned = [user_id for user_id in ids if erased and _fingerprint(key, user_id) in erased]
    for user_id in returned:
        salt = secrets.token_hex(16)
        user_hash = hash_of(user_id, salt)
        with database.writing(uses_reserve=True) as connection:
            _erase(database, connection, user_id, salt, user_hash, ERASED_WITHIN)
    return len(returned) + n_rows


def _places(user_id: str) -> Sequence[sa.ColumnElement[bool]]:
    """For each place that holds ids of users, whether it holds this one."""
    columns = (users.c.user_id, redirects.c.user_id, items.c.created_by)
    return [*(sa.exists(sa.select(column).where(column == user_id)) for column in columns), may_name(user_id)]


def _all_ids() -> Sequence[sa.Select[Any]]:
    created_by = sa.select(items.c.created_by).where(items.c.created_by.is_not(None))
    return [sa.select(users.c.user_id), sa.select(redirects.c.user_id), created_by]


def _remove(database: Database, connection: sa.Connection, user_id: str) -> dict[str, int]:
    """Deletes all rows of the user; the number of rows by the name of the table."""
    find = sa.select(users.c.user_key, users.c.version).where(users.c.user_id == user_id).with_for_update()
    user = connection.execute(find).one_or_none()
    removed = {"users": int(user is not None), "items": _clear_creator(connection, user_id)}
    as_guest = connection.execute(sa.delete(redirects).where(redirects.c.user_id == user_id)).rowcount
    if user is None:
        empty_answers_of(connection, [user_id])
        return removed | {"redirects": as_guest}
    key = user.user_key
    guests = connection.execute(sa.select(redirects.c.user_id).where(redirects.c.user_key == key)).scalars().all()
    n_rated = sa.select(sa.func.count()).select_from(ratings).where(ratings.c.user_key == key)
    # The user's version leaves the sum of all versions, and the removed ratings are changes of their own.
    counters.grow(connection, "erased", user.version + connection.execute(n_rated).scalar_one())
    removed["named_events"] = _count_named_events(connection, key, [user_id, *guests])
    lock_trends(database, connection)
    # Before the quarantine forgets the user, whose signals are in no sum then.
    signals, audiences = signals_of_users(database, connection, [key]), audiences_of(database, connection, [key])
    # There are no foreign keys: everything that refers to the user is deleted here.
    n_shown = connection.execute(n_rated.where(ratings.c.value.is_not(None))).scalar_one()
    for table in OF_A_USER:
        removed[table.name] = connection.execute(sa.delete(table).where(table.c.user_key == key)).rowcount
    database.note("users", removed=1)
    database.note("ratings", removed=n_shown)
    database.note("events", removed=removed["events"])
    connection.execute(sa.delete(users).where(users.c.user_key == key))
    change_trends(database, connection, signals, Signals.none(), audiences, audiences)
    # Last, as in every writer: see the order of locks in `postgres.py`.
    empty_answers_of(connection, [user_id, *guests])
    return removed


def _count_named_events(connection: sa.Connection, key: int, user_ids: Sequence[str]) -> int:
    """The number of the user's events whose ids, which callers choose, contain one of the ids."""
    names = [events.c.event_id.contains(name, autoescape=True) for name in user_ids]
    named = sa.select(sa.func.count()).select_from(events).where(events.c.user_key == key, sa.or_(*names))
    return int(connection.execute(named).scalar_one())


def _clear_creator(connection: sa.Connection, user_id: str) -> int:
    """Items that the user made stay without their creator; returns how many."""
    made = sa.select(items.c.item_key).where(items.c.created_by == user_id).order_by(items.c.item_key)
    keys = connection.execute(made.with_for_update(key_share=True)).scalars().all()
    if keys:
        changes = {"created_by": None, "version": counters.grow(connection, "catalogue")}
        statement = sa.update(items).where(items.c.item_key == sa.bindparam("key")).values(**changes)
        connection.execute(statement, [{"key": key} for key in keys])
    return len(keys)


def _key(connection: sa.Connection) -> bytes:
    return bytes(connection.execute(sa.select(instance.c.token_key)).scalar_one())


def _fingerprint(key: bytes, user_id: str) -> str:
    return hmac.new(key, b"erased user\0" + user_id.encode(), hashlib.sha256).hexdigest()


def _to_erasure(row: Any) -> Erasure:
    return Erasure(
        number=row.number,
        erasure_id=row.erasure_id,
        salt=row.salt,
        user_hash=row.user_hash,
        requested_at=from_microseconds(row.requested_at),
        due_at=from_microseconds(row.due_at),
        completed_at=None if row.completed_at is None else from_microseconds(row.completed_at),
        removed=row.removed,
        removed_snapshots=tuple(row.removed_snapshots),
        snapshot_version=row.snapshot_version,
        backups=tuple(Backup(file, from_microseconds(made_at)) for file, made_at in row.backups),
    )
