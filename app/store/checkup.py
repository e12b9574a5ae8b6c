"""What can be said of a database from outside of a service: whether it is sound, current, private, and its clock."""

import sqlite3
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa

from app.errors import ReckonError
from app.store.database import Database
from app.store.migration import Schema, schema_of
from app.store.sqlite import SqliteDialect

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`check`: what was looked at. `detail`: what was seen. `advice`: what to do about it; empty where it is ok."""

    check: str
    state: State
    detail: str
    advice: str = ""


FIXED_SQLITE = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""From each of these on, within its own minor version, and from the first one on, SQLite has no WAL-reset race."""


def is_free_of_race(version: tuple[int, int, int]) -> bool:
    """Whether several processes of this SQLite may write and checkpoint without a common lock, see `write_lock.py`."""
    return version >= FIXED_SQLITE[0] or any(version[:2] == fixed[:2] and version >= fixed for fixed in FIXED_SQLITE)


def check_database(database: Database) -> list[Finding]:
    """Findings on the database; one problem where it cannot be read at all."""
    dialect = database.dialect
    try:
        if isinstance(dialect, SqliteDialect):
            # The modes first: those that are too wide are narrowed when the database is opened.
            modes = _check_modes(dialect.path)
            return [_check_tables(database), _check_soundness(database), modes, _check_library()]
        return [_check_tables(database), _check_server(database)]
    except ReckonError as error:
        return [Finding("database", "problem", error.detail, "put it right, or restore a backup with `reckon restore`")]


def _check_tables(database: Database) -> Finding:
    schema = schema_of(database)
    if schema is Schema.CURRENT:
        return Finding("tables", "ok", "of this version")
    advice = "install the version that made it" if schema is Schema.NEWER else "run `reckon migrate`"
    return Finding("tables", "problem", f"the database is {schema.value}", advice)


def _check_soundness(database: Database) -> Finding:
    with database.reading() as connection:
        found = connection.execute(sa.text("PRAGMA integrity_check(3)")).scalars().all()
    if found == ["ok"]:
        return Finding("integrity", "ok", "the database is sound")
    return Finding("integrity", "problem", "; ".join(found), "restore a backup with `reckon restore`")


def _check_modes(path: Path) -> Finding:
    folder = stat.S_IMODE(path.parent.stat().st_mode)
    if folder & stat.S_IWOTH and not folder & stat.S_ISVTX:
        detail = f"any user of the machine may replace files in the folder of the database (mode {folder:o})"
        return Finding("permissions", "problem", detail, "chmod o-w the folder")
    names = (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", ".lock", ".reserve")))
    wide = [each.name for each in names if each.exists() and each.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if wide:
        return Finding("permissions", "warning", f"others could use {', '.join(wide)}", "they are narrowed now")
    return Finding("permissions", "ok", "only the owner may read the database")


def _check_library() -> Finding:
    version = sqlite3.sqlite_version_info
    if is_free_of_race(version):
        return Finding("SQLite", "ok", sqlite3.sqlite_version)
    detail = f"{sqlite3.sqlite_version} has the WAL-reset race, which the write lock of Reckon excludes"
    return Finding("SQLite", "ok", f"{detail}; write to the file with Reckon alone, or use 3.51.3 or newer")


def _check_server(database: Database) -> Finding:
    with database.reading() as connection:
        version, is_standby, is_durable = connection.execute(
            sa.text(
                "SELECT current_setting('server_version'), pg_is_in_recovery(),"
                " current_setting('fsync')::bool AND current_setting('synchronous_commit') <> 'off'"
            )
        ).one()
    if is_standby:
        return Finding("Postgres", "problem", f"{version}, a standby: it takes no writes", "name the primary server")
    if not is_durable:
        advice = "set fsync and synchronous_commit to on"
        return Finding("Postgres", "warning", f"{version} may lose acknowledged writes at power loss", advice)
    return Finding("Postgres", "ok", version)
