"""Dumps of the schema of one catalogue on Postgres, by `pg_dump` and `pg_restore`.

The schemas of tenants are in the same database, so a dump holds one schema and no other. `pg_restore` prints a dump as
a script of SQL, which is executed on a connection of ours: the caller does the rest of a restore in the same
transaction.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from app.errors import ConflictError, InvalidInputError, UnavailableError
from app.store.database import Database
from app.store.schema import instance, metadata

MOST_ATTEMPTS = 10
DEADLOCK = "40P01"
COPY_BYTES = 1 << 20
TABLE_DATA = re.compile(r"\d+; \d+ \d+ TABLE DATA (.+)")
"""A line of the list of a dump: its number, two object ids, the kind, and then schema, table and owner."""

META_COMMANDS = (b"\\restrict ", b"\\unrestrict ")
"""Lines of the script that are for psql alone."""


def schema_name(database: Database) -> str:
    """Return the name of the schema that holds the tables. Raises `ConflictError` if it does not exist."""
    with database.reading() as connection:
        name: str | None = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    if name is None:
        raise ConflictError("there is no schema of the catalogue: `reckon tenants create` makes that of a tenant")
    return name


def dump(database: Database, schema: str, file: Path) -> None:
    """Write the schema to `file`, as of one moment."""
    quoted = schema.replace('"', '""')
    plain = database.dialect.engine.url.set(drivername="postgresql", password=None).render_as_string()
    arguments = (f"--dbname={plain}", "--format=custom", f'--schema="{quoted}"', f"--file={file}")
    _run("pg_dump", *arguments, of=database)


def dumped_id(file: Path, schema: str) -> str:
    """Return the id of the database in a dump. Raises `InvalidInputError` unless it is one of `schema` alone."""
    found = [TABLE_DATA.match(line) for line in _run("pg_restore", "--list", str(file)).splitlines()]
    is_own = [each[1].startswith(f"{schema} ") for each in found if each is not None]
    if any(is_own) and not all(is_own):
        raise InvalidInputError(
            f"the file holds other schemas than {schema}, which may be those of other catalogues: put this one back by"
            f" `pg_restore --clean --if-exists --schema={schema}`, then run `reckon restore --in-place`",
            field="file",
        )
    if is_own and not any(is_own):
        raise InvalidInputError(f"the file is a backup of another schema than {schema}", field="file")
    arguments = ("--data-only", f"--schema={schema}", f"--table={instance.name}", "--file=-")
    lines = iter(_run("pg_restore", *arguments, str(file)).splitlines())
    for line in lines:
        # COPY public.installation (id, database_id, ...) FROM stdin;
        if line.startswith("COPY "):
            columns = line.partition("(")[2].partition(")")[0].split(", ")
            values = dict(zip(columns, next(lines, "").split("\t"), strict=False))
            if (database_id := values.get(instance.c.database_id.name)) is not None:
                return database_id
    raise InvalidInputError("the file is no backup of Reckon", field="file")


def lock_tables(connection: sa.Connection) -> None:
    """Lock all tables of ours until the transaction ends: then no other transaction in progress has used any of them.

    Services lock the tables in another order. Where the server ends a deadlock, they are locked again. The table of the
    instance is the first, see `Dialect.begin_lasting`.
    """
    tables = sorted(_tables(connection), key=lambda name: (name != instance.name, name))
    n_attempts = 0
    while True:
        n_attempts += 1
        try:
            with connection.begin_nested():
                if tables:
                    connection.exec_driver_sql(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != DEADLOCK or n_attempts == MOST_ATTEMPTS:
                raise
        else:
            return


def _tables(connection: sa.Connection) -> list[str]:
    """The tables of ours that exist, by name."""
    stored = connection.exec_driver_sql(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
    )
    return sorted(set(stored.scalars()) & {*metadata.tables, "alembic_version"})


def load(connection: sa.Connection, schema: str, file: Path) -> None:
    """Make the tables of the dump `file` in the place of those in `schema`, in the transaction of the connection.

    Raises `InvalidInputError` if that fails.
    """
    tables = _tables(connection)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        if tables:
            # All of them: a dump of an older version has not all, and its migration makes the others.
            cursor.execute(f"DROP TABLE {', '.join(tables)}")
        _execute(cursor, _script(schema, file))
        cursor.execute("RESET ALL")  # the script sets the search path and others


def _script(schema: str, file: Path) -> Iterator[bytes]:
    """The lines of the script that makes the tables. Raises `InvalidInputError` at its end if it is not complete."""
    arguments = ("--clean", "--if-exists", "--no-owner", f"--schema={schema}", "--file=-")
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603  the program, and a file that the user names
            [_path("pg_restore"), *arguments, str(file)], stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        yield from process.stdout or ()
        if process.wait() != 0:
            errors.seek(0)
            raise InvalidInputError(
                f"pg_restore failed: {errors.read().decode(errors='replace').strip()}", field="file"
            )


def _execute(cursor: Any, script: Iterable[bytes]) -> None:
    """Execute a script of statements and of `COPY ... FROM stdin` with its rows, as `pg_restore` writes it."""
    lines = iter(script)
    statements: list[bytes] = []
    for line in lines:
        if line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
            cursor.execute(b"".join(statements))
            statements.clear()
            with cursor.copy(line) as copied:
                for part in _rows(lines):
                    copied.write(part)
        elif not line.startswith(META_COMMANDS):
            statements.append(line)
    cursor.execute(b"".join(statements))


def _rows(lines: Iterator[bytes]) -> Iterator[bytes]:
    """The lines until that which ends the rows, many at a time."""
    part: list[bytes] = []
    n_bytes = 0
    for line in iter(lines.__next__, b"\\.\n"):
        part.append(line)
        n_bytes += len(line)
        if n_bytes >= COPY_BYTES:
            yield b"".join(part)
            part, n_bytes = [], 0
    yield b"".join(part)


def _path(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise UnavailableError(f"{program} is not installed: install the client programs of Postgres")
    return path


def _run(program: str, *arguments: str, of: Database | None = None) -> str:
    """Run a client program of Postgres and return its output. `of`: the database that it connects to.

    Raises `UnavailableError` where it is not installed, `InvalidInputError` with its message where it fails.
    """
    environment = dict(os.environ)
    if of is not None and (password := of.dialect.engine.url.password):
        environment["PGPASSWORD"] = str(password)  # other users can read the arguments of a process
    done = subprocess.run(  # noqa: S603  one of two programs, and a file that the user names
        [_path(program), *arguments], env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise InvalidInputError(f"{program} failed: {done.stderr.strip() or done.returncode}", field="file")
    return done.stdout
