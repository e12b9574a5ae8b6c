"""Backups, made and put back while services run: SQLite by its own means, Postgres by `pg_dump` and `pg_restore`."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.errors import ConflictError, InvalidInputError, ReckonError, UnavailableError
from app.store import postgres_dump
from app.store.api_keys import end_again, key_rows
from app.store.audit import COMMAND_LINE, AuditLog
from app.store.database import Database, open_database
from app.store.erasures import ErasureRecords, erase_again, erasure_records, forget_backup, record_backup
from app.store.generation import renew_generation
from app.store.migration import Schema, schema_of, upgrade
from app.store.schema import instance, totals
from app.store.sqlite import SqliteDialect
from app.store.sqlite_files import DatabaseDamagedError, make_private_file, remove_copy, restored_copy, sync_folder


def backup(url: str, data_dir: Path, file: Path) -> None:
    """Copy the database to `file`, as of one moment, while services run.

    Raises `ConflictError` if `file` exists, `UnavailableError` if it cannot be written.
    """
    database = open_database(url, data_dir)
    try:
        if file.exists():
            raise ConflictError(f"{file} exists; a backup never replaces a file")
        path = database.dialect.path if isinstance(database.dialect, SqliteDialect) else None
        if path is not None and not path.exists():
            raise ConflictError(f"there is no database at {path}")
        with _recorded(database, file):
            _write(database, path, file)
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError(f"cannot write {file}: {error}") from None
    finally:
        database.close()


@contextmanager
def _recorded(database: Database, file: Path) -> Iterator[None]:
    """Remember the backup for receipts of erasures, before it is made: it may hold users who are deleted meanwhile.

    A backup that fails is forgotten; one that is killed is not. A database of another version has no tables for it.
    """
    if schema_of(database) is not Schema.CURRENT:
        yield
        return
    made_at = record_backup(database, file.name)
    try:
        yield
    except BaseException:
        if not file.exists():
            with suppress(ReckonError):
                forget_backup(database, made_at)
        raise
    AuditLog(database).record(COMMAND_LINE, "database.backup", file.name)


def _write(database: Database, path: Path | None, file: Path) -> None:
    """`path`: of the database; None on Postgres."""
    partial = file.with_name(file.name + ".partial")
    try:
        remove_copy(partial)
        make_private_file(partial)
        if path is None:
            postgres_dump.dump(database, postgres_dump.schema_name(database), partial)
        else:
            _back_up_sqlite(path, partial)
        partial.rename(file)
        sync_folder(file.parent)
    finally:
        remove_copy(partial)


def _back_up_sqlite(path: Path, file: Path) -> None:
    _copy(path, file)
    with closing(sqlite3.connect(file)) as connection:
        # One file that can be read where nothing can be written; a log is for a database in use.
        connection.execute("PRAGMA journal_mode = DELETE")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a restore takes over from the database that it replaces: erasures of users, and keys to end.

    `database_id`: None if there is none. `missing`: why the rest is not known, as a clause; None if it is known.
    """

    database_id: str | None = None
    erasures: ErasureRecords | None = None
    keys: Sequence[sa.Row[Any]] = ()
    missing: str | None = None


def restore(url: str, data_dir: Path, file: Path) -> str | None:
    """Put the backup `file` in the place of the database, in one transaction, while services run.

    A restore that fails or is killed changes nothing. A backup of an older version is migrated. The new generation
    makes every process drop what it remembers. The users who were erased since the backup are erased again, the keys
    that ended since stay ended, and those that were created since are revoked. Returns None, or why these are not
    known.

    Raises `InvalidInputError` if `file` is not a sound backup, `ConflictError` for a backup of another database,
    `SchemaError` for one of a newer version, and `UnavailableError` if it cannot be written.
    """
    database = open_database(url, data_dir)
    try:
        if isinstance(database.dialect, SqliteDialect):
            return _restore_sqlite(database, database.dialect, data_dir, file)
        return _restore_postgres(database, file)
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError(f"cannot restore {file}: {error}") from None
    finally:
        database.close()


def _restore_sqlite(database: Database, dialect: SqliteDialect, data_dir: Path, file: Path) -> str | None:
    _check_sound(file)
    with restored_copy(dialect.path) as copy:
        _copy(file, copy)
        _migrate(copy, data_dir)
        with dialect.write_lock.held():
            try:
                kept = _kept(database)
            except DatabaseDamagedError:
                kept = Kept(missing="the database was damaged")
                _prepare(copy, data_dir, kept)
                dialect.engine.dispose()  # the last connection of a file removes the log by its name
                _put_in_place(copy, dialect.path)
            else:
                _prepare(copy, data_dir, kept)
                _copy(copy, dialect.path)
        return kept.missing


def _put_in_place(copy: Path, path: Path) -> None:
    """Rename `copy` to `path`. SQLite copies into no damaged file; processes that have it open notice the other one."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    sync_folder(path.parent)  # the log of the damaged file must not come back beside the other one
    copy.replace(path)
    sync_folder(path.parent)


def _restore_postgres(database: Database, file: Path) -> str | None:
    """Writers and readers wait until the transaction ends, and find another generation."""
    schema = postgres_dump.schema_name(database)
    dumped = postgres_dump.dumped_id(file, schema)
    with database.joined():
        with database.writing(uses_reserve=True) as connection:
            postgres_dump.lock_tables(connection)
            # Under the locks: an erasure or a revocation that comes later waits, and changes the restored tables.
            kept = _kept(database)
            if kept.database_id not in {None, dumped}:
                raise ConflictError("this is a backup of another database: restore it to a database of its own")
            try:
                postgres_dump.load(connection, schema, file)
            except database.dialect.driver_error as error:
                message = f"the backup cannot be restored: {error}"
                raise database.dialect.expected(error) or InvalidInputError(message, field="file") from None
        _upgrade(database)
        n_erased = _take_over(database, kept)
        adopt(database)
    if n_erased:
        # Their new erasures are pending, so the eraser purges later what cannot be purged now.
        with suppress(ReckonError):
            database.purge(also=())
    return kept.missing


def adopt(database: Database) -> None:
    """Renew the generation of a database that was put back by other means."""
    with database.writing(uses_reserve=True) as connection:
        renew_generation(connection)
        # They are counted anew: users were erased again, and processes may yet add what is of the state before.
        connection.execute(sa.delete(totals))


def _kept(replaced: Database) -> Kept:
    schema, database_id = schema_of(replaced), _id_of(replaced)
    if schema is Schema.CURRENT:
        return Kept(database_id, erasure_records(replaced), key_rows(replaced))
    return Kept(database_id, missing=f"the database was {schema.value}")


def _take_over(restored: Database, kept: Kept) -> int:
    """Return the number of users who were erased again."""
    end_again(restored, kept.keys)
    return 0 if kept.erasures is None else erase_again(restored, kept.erasures)


def _copy(source: Path, target: Path) -> None:
    """Copy a database with SQLite's own backup, which reads the committed state and writes in one transaction."""
    make_private_file(target)
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reader,
        closing(sqlite3.connect(target)) as writer,
    ):
        writer.execute("PRAGMA busy_timeout = 5000")
        writer.execute("PRAGMA synchronous = FULL")
        reader.backup(writer)


def _check_sound(file: Path) -> None:
    """Raise `InvalidInputError` unless `file` is a database without damage."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise InvalidInputError(f"{file} is not a backup: {error}", field="file") from None
    if answer != "ok":
        raise InvalidInputError(f"{file} is damaged: {answer}", field="file")


def _migrate(copy: Path, data_dir: Path) -> None:
    database = open_database(f"sqlite:///{copy.absolute()}", data_dir)
    try:
        _upgrade(database)
    finally:
        database.close()


def _upgrade(restored: Database) -> None:
    if schema_of(restored) is Schema.MISSING:
        raise InvalidInputError("the file is no database of Reckon", field="file")
    upgrade(restored)


def _prepare(copy: Path, data_dir: Path, kept: Kept) -> None:
    """Take over what is kept, and renew the generation of the copy.

    The caller excludes lasting writes, so that none is missed.
    """
    database = open_database(f"sqlite:///{copy.absolute()}", data_dir)
    try:
        if kept.database_id not in {None, _id_of(database)}:
            raise ConflictError("this is a backup of another database: restore it to a data folder of its own")
        if _take_over(database, kept):
            database.purge(also=())
        adopt(database)
    finally:
        database.close()


def _id_of(database: Database) -> str | None:
    """Return the id of a database; None if it has no tables."""
    if schema_of(database) is Schema.MISSING:
        return None
    with database.reading() as connection:
        return str(connection.execute(sa.select(instance.c.database_id)).scalar_one())
