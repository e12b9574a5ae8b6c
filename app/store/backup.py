"""Backups, made and put back while services run: SQLite by its own means, Postgres by `pg_dump` and `pg_restore`."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from app.errors import ConflictError, InvalidInputError, UnavailableError
from app.store.api_keys import KeyEnd, end_again, key_ends
from app.store.audit import COMMAND_LINE, AuditLog
from app.store.database import Database, open_database
from app.store.erasures import ErasureRecords, erase_again, erasure_records, record_backup
from app.store.generation import renew_generation
from app.store.migration import Schema, migrate, schema_of
from app.store.schema import instance, totals
from app.store.sqlite import SqliteDialect
from app.store.sqlite_files import DatabaseDamagedError, make_private_file

MOST_ATTEMPTS = 10
DEADLOCK = "deadlock"
"""In the message of `pg_restore`, which does not tell the code of the error."""


def backup(url: str, data_dir: Path, file: Path) -> None:
    """Copy the database to `file`, as of one moment, while services run.

    Raises `ConflictError` if `file` exists, `UnavailableError` if it cannot be written.
    """
    database = open_database(url, data_dir)
    partial = file.with_name(file.name + ".partial")
    try:
        if file.exists():
            raise ConflictError(f"{file} exists; a backup never replaces a file")
        partial.unlink(missing_ok=True)
        make_private_file(partial)
        if isinstance(database.dialect, SqliteDialect):
            _back_up_sqlite(database.dialect.path, partial)
        else:
            _run("pg_dump", database, "--format=custom", f"--file={partial}")
        partial.rename(file)
        _note(database, file)
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError(f"cannot write {file}: {error}") from None
    finally:
        partial.unlink(missing_ok=True)
        database.close()


def _back_up_sqlite(path: Path, file: Path) -> None:
    if not path.exists():
        raise ConflictError(f"there is no database at {path}")
    _copy(path, file)
    with closing(sqlite3.connect(file)) as connection:
        # One file that can be read where nothing can be written; a log is for a database in use.
        connection.execute("PRAGMA journal_mode = DELETE")


@dataclass(frozen=True, slots=True)
class Kept:
    """What a restore takes over from the database that it replaces: erasures of users and ends of keys.

    `database_id`: None if there is none. `missing`: why the rest is not known, as a clause; None if it is known.
    """

    database_id: str | None = None
    erasures: ErasureRecords | None = None
    keys: Sequence[KeyEnd] = ()
    missing: str | None = None


def restore(url: str, data_dir: Path, file: Path) -> str | None:
    """Put the backup `file` in the place of the database, in one transaction, while services run.

    A backup of an older version is migrated. The new generation makes every process drop what it remembers. The users
    who were erased since the backup are erased again, and the keys that ended since stay ended. Returns None, or why
    these are not known.

    Raises `InvalidInputError` if `file` is not a sound backup, `ConflictError` for a backup of another database,
    `SchemaError` for one of a newer version, and `UnavailableError` if it cannot be written.
    """
    database = open_database(url, data_dir)
    try:
        if isinstance(database.dialect, SqliteDialect):
            return _restore_sqlite(database, database.dialect, data_dir, file)
        return _restore_postgres(database, url, data_dir, file)
    except (OSError, sqlite3.Error) as error:
        raise UnavailableError(f"cannot restore {file}: {error}") from None
    finally:
        database.close()


def _restore_sqlite(database: Database, dialect: SqliteDialect, data_dir: Path, file: Path) -> str | None:
    copy = dialect.path.with_name(dialect.path.name + ".restoring")
    try:
        _check_sound(file)
        copy.unlink(missing_ok=True)
        _copy(file, copy)
        _migrate(copy, data_dir)
        with database.restoring():
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
    finally:
        for suffix in ("", "-wal", "-shm", ".lock", ".reserve"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def _put_in_place(copy: Path, path: Path) -> None:
    """Rename `copy` to `path`. SQLite copies into no damaged file; processes that have it open notice the other one."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    copy.replace(path)


def _restore_postgres(database: Database, url: str, data_dir: Path, file: Path) -> str | None:
    """`pg_restore` makes the tables anew; writers wait until its transaction ends, and find another generation."""
    dumped = _id_in_dump(file)
    if dumped is None:
        raise InvalidInputError("the file is no backup of Reckon", field="file")
    if _id_of(database) not in {None, dumped}:
        raise ConflictError("this is a backup of another database: restore it to a database of its own")
    with database.restoring():
        kept = _kept(database)  # `pg_restore` removes it
        _make_anew(database, file)
        migrate(url, data_dir)
        _take_over(database, kept)
        adopt(database)
        return kept.missing


def _make_anew(database: Database, file: Path) -> None:
    """Run `pg_restore` in one transaction, again where the server ends it to resolve a deadlock: it changed nothing.

    It locks one table after the other, and services that go on lock them in another order. It cannot lock all at first.
    """
    for attempt in range(1, MOST_ATTEMPTS + 1):
        try:
            _run("pg_restore", database, "--clean", "--if-exists", "--no-owner", "--single-transaction", str(file))
        except InvalidInputError as error:
            if DEADLOCK not in error.detail or attempt == MOST_ATTEMPTS:
                raise
        else:
            return


def _id_in_dump(file: Path) -> str | None:
    """Return the id of the database in a dump; None if it holds none of Reckon."""
    text = _run("pg_restore", None, "--data-only", f"--table={instance.name}", "--file=-", str(file))
    lines = iter(text.splitlines())
    for line in lines:
        # COPY public.installation (id, database_id, ...) FROM stdin;
        if line.startswith("COPY "):
            columns = line.partition("(")[2].partition(")")[0].split(", ")
            return dict(zip(columns, next(lines, "").split("\t"), strict=False)).get(instance.c.database_id.name)
    return None


def _run(program: str, database: Database | None, *arguments: str) -> str:
    """Run a client program of Postgres, with a connection to the database, and return its output.

    Raises `UnavailableError` where it is not installed, `InvalidInputError` with its message where it fails.
    """
    path = shutil.which(program)
    if path is None:
        raise UnavailableError(f"{program} is not installed: install the client programs of Postgres")
    environment, connection = dict(os.environ), []
    if database is not None:
        url = database.dialect.engine.url
        # Other users can read the arguments of a process.
        environment |= {"PGPASSWORD": str(url.password)} if url.password else {}
        plain = url.set(drivername="postgresql", password=None).render_as_string()
        connection = [f"--dbname={plain}"]
    done = subprocess.run(  # noqa: S603  one of two programs, and a file that the user names
        [path, *connection, *arguments], env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise InvalidInputError(f"{program} failed: {done.stderr.strip() or done.returncode}", field="file")
    return done.stdout


def adopt(database: Database) -> None:
    """Renew the generation of a database that was put back by other means."""
    with database.writing(uses_reserve=True) as connection:
        renew_generation(connection)
        # They are counted anew: users were erased again, and processes may yet add what is of the state before.
        connection.execute(sa.delete(totals))


def _note(database: Database, file: Path) -> None:
    """Remember the backup for receipts of erasures, and as an act. A backup before a migration has no tables for it."""
    if schema_of(database) is Schema.CURRENT:
        record_backup(database, file.name)
        AuditLog(database).record(COMMAND_LINE, "database.backup", file.name)


def _kept(replaced: Database) -> Kept:
    schema, database_id = schema_of(replaced), _id_of(replaced)
    if schema is Schema.CURRENT:
        return Kept(database_id, erasure_records(replaced), key_ends(replaced))
    return Kept(database_id, missing=f"the database was {schema.value}")


def _take_over(restored: Database, kept: Kept) -> None:
    end_again(restored, kept.keys)
    if kept.erasures is not None and erase_again(restored, kept.erasures):
        restored.purge(also=())


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
    url = f"sqlite:///{copy.absolute()}"
    database = open_database(url, data_dir)
    try:
        if schema_of(database) is Schema.MISSING:
            raise InvalidInputError("the file is no database of Reckon", field="file")
        migrate(url, data_dir)
    finally:
        database.close()


def _prepare(copy: Path, data_dir: Path, kept: Kept) -> None:
    """Take over what is kept, and renew the generation of the copy.

    The caller excludes lasting writes, so that none is missed.
    """
    database = open_database(f"sqlite:///{copy.absolute()}", data_dir)
    try:
        if kept.database_id not in {None, _id_of(database)}:
            raise ConflictError("this is a backup of another database: restore it to a data folder of its own")
        _take_over(database, kept)
        adopt(database)
    finally:
        database.close()


def _id_of(database: Database) -> str | None:
    """Return the id of a database; None if it has no tables."""
    if schema_of(database) is Schema.MISSING:
        return None
    with database.reading() as connection:
        return str(connection.execute(sa.select(instance.c.database_id)).scalar_one())
