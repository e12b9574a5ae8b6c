"""Backups of a SQLite database, made and put back while services run. Postgres has `pg_dump` and `pg_restore`."""

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from app.errors import ConflictError, InvalidInputError, UnavailableError
from app.store.database import Database, open_database
from app.store.erasures import erase_again, record_backup
from app.store.generation import renew_generation
from app.store.migration import Schema, migrate, schema_of
from app.store.schema import instance
from app.store.sqlite import SqliteDialect
from app.store.sqlite_files import make_private_file


def backup(url: str, data_dir: Path, file: Path) -> None:
    """Copy the database to `file`, as of one moment, while services run.

    Raises `ConflictError` if `file` exists or the database is Postgres, `UnavailableError` if it cannot be written.
    """
    dialect = _sqlite(open_database(url, data_dir), "pg_dump --format=custom --file=FILE URL")
    partial = file.with_name(file.name + ".partial")
    try:
        if file.exists():
            raise ConflictError(f"{file} exists; a backup never replaces a file")
        if not dialect.path.exists():
            raise ConflictError(f"there is no database at {dialect.path}")
        partial.unlink(missing_ok=True)
        _copy(dialect.path, partial)
        with closing(sqlite3.connect(partial)) as connection:
            # One file that can be read where nothing can be written; a log is for a database in use.
            connection.execute("PRAGMA journal_mode = DELETE")
        partial.rename(file)
        _note(Database(dialect), file)
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError(f"cannot write {file}: {error}") from None
    finally:
        partial.unlink(missing_ok=True)
        dialect.close()


def restore(url: str, data_dir: Path, file: Path) -> None:
    """Put the backup `file` in the place of the database, in one transaction, while services run.

    A backup of an older version is migrated. The new generation makes every process drop what it remembers.

    Raises `InvalidInputError` if `file` is not a sound backup, `ConflictError` for a backup of another database and for
    Postgres, `SchemaError` for one of a newer version, and `UnavailableError` if it cannot be written.
    """
    database = open_database(url, data_dir)
    dialect = _sqlite(database, "pg_restore --clean --dbname=URL FILE, then reckon restore --in-place")
    copy = dialect.path.with_name(dialect.path.name + ".restoring")
    try:
        _check_sound(file)
        copy.unlink(missing_ok=True)
        _copy(file, copy)
        _prepare(copy, data_dir, _id_of(database))
        _erase_again(copy, database, data_dir)
        with dialect.write_lock.held():
            _copy(copy, dialect.path)
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError(f"cannot restore {file}: {error}") from None
    finally:
        for suffix in ("", "-wal", "-shm", ".lock", ".reserve"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)
        database.close()


def adopt(database: Database) -> None:
    """Renew the generation of a database that was put back by other means."""
    with database.writing(uses_reserve=True) as connection:
        renew_generation(connection)


def _note(database: Database, file: Path) -> None:
    """Remember the backup for receipts of erasures. A backup before a migration has no table for it."""
    if schema_of(database) is Schema.CURRENT:
        record_backup(database, file.name)


def _erase_again(copy: Path, replaced: Database, data_dir: Path) -> None:
    """Erase from the copy the users that have been erased since the backup."""
    if schema_of(replaced) is not Schema.CURRENT:
        return
    restored = open_database(f"sqlite:///{copy.absolute()}", data_dir)
    try:
        if erase_again(restored, replaced):
            restored.purge(also=())
    finally:
        restored.close()


def _sqlite(database: Database, instead: str) -> SqliteDialect:
    if not isinstance(database.dialect, SqliteDialect):
        database.close()
        raise ConflictError(f"this is for SQLite; with Postgres run: {instead}")
    return database.dialect


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


def _prepare(copy: Path, data_dir: Path, database_id: str | None) -> None:
    """Migrate the copy and renew its generation. `database_id`: of the database that it replaces, None if it is new."""
    url = f"sqlite:///{copy.absolute()}"
    database = open_database(url, data_dir)
    try:
        if schema_of(database) is Schema.MISSING:
            raise InvalidInputError("the file is no database of Reckon", field="file")
        migrate(url, data_dir)
        if database_id not in {None, _id_of(database)}:
            raise ConflictError("this is a backup of another database: restore it to a data folder of its own")
        adopt(database)
    finally:
        database.close()


def _id_of(database: Database) -> str | None:
    """Return the id of a database; None if it has no tables."""
    if schema_of(database) is Schema.MISSING:
        return None
    with database.reading() as connection:
        return str(connection.execute(sa.select(instance.c.database_id)).scalar_one())
