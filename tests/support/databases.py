"""Real databases for tests: copies of a migrated SQLite file, and of a migrated database on Postgres."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.store import Store, migrate
from tests.support.postgres import Postgres
from tests.support.trained import fill, train


class MigratedDatabases:
    """Databases that are made once in a test session, each kind when a test first needs it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
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
        with self._postgres.database() as url:
            yield url

    @contextmanager
    def trained(self, kind: str, folder: Path) -> Iterator[str]:
        """As `fresh`, filled and trained once in a session; its snapshot is in `folder`.

        The 45 files of the snapshot are shared by all tests: a test that damages one must put another in its place.
        """
        template = self._folder / f"trained-{kind}"
        if not template.exists():
            template.mkdir()
            self._train(kind, template)
        written_at = {path: path.stat().st_mtime_ns for path in template.glob("snapshots/*/*")}
        shutil.copytree(template / "snapshots", folder / "snapshots", copy_function=os.link)
        if self._postgres is None or kind == "sqlite":
            shutil.copy(template / "reckon.db", folder)
            yield f"sqlite:///{folder / 'reckon.db'}"
        else:
            with self._postgres.database("trained") as url:
                yield url
        for path, then in written_at.items():
            assert path.stat().st_mtime_ns == then, f"the test wrote to {path.name}, which other tests read"

    @property
    def postgres(self) -> Postgres:
        """The server of the databases of this kind, once a test has had one of them."""
        assert self._postgres is not None
        return self._postgres

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
