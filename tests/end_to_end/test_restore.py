"""The file of the database is replaced under a running service and under load."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.entities import User
from app.store.backup import backup, restore
from tests.support.databases import MigratedDatabases
from tests.support.published import opened_shop
from tests.support.service import Instance, RunningService, wait_until
from tests.support.user_states import tasteful_ratings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("end_to_end")]


@contextmanager
def load(service: RunningService) -> Iterator[list[tuple[int, object]]]:
    """Reads and writes until the block ends; yields what failed."""
    failed: list[tuple[int, object]] = []
    stopping = threading.Event()

    def run() -> None:
        n = 0
        while not stopping.wait(0.01):
            n += 1
            for status, body in (
                service.call("GET", f"/users/u{n % 7}/recommendations?limit=5"),
                service.call("POST", "/ratings", {"user_id": f"loader{n % 5}", "item_id": "1", "value": 3}),
            ):
                if status not in {200, 201}:
                    failed.append((status, body))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield failed
    finally:
        stopping.set()
        thread.join()


def test_file_replaced_under_load(tmp_path: Path) -> None:
    """The key and the versions of a user who is gone are those of another user afterwards."""
    with opened_shop(tmp_path, tasteful_ratings()) as shop:
        shop.train()
        shop.store.users.record([User(f"loader{n}") for n in range(5)])
    file, copy = tmp_path / "reckon.db", tmp_path / "copy.db"
    with Instance(tmp_path).serving("--no-worker") as service:
        items = service.items("nobody", limit=6)
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        make(service, "gone", items[:3])
        assert not set(items[:3]) & set(service.items("gone", limit=60))
        cursor = service.get("/users?limit=1")["next_cursor"]
        with load(service) as failed:
            copy.replace(file)
            wait_until(lambda: service.call("PUT", "/users/late", {})[0] == 201)
        assert all(status == 503 for status, _ in failed), failed
        # "late" has the key that "gone" had, and as many ratings now.
        make(service, "late", items[3:])
        shown = service.items("late", limit=60)
        assert set(items[:3]) <= set(shown)
        assert not set(items[3:]) & set(shown)
        assert service.call("GET", "/users/gone")[0] == 404
        assert service.call("GET", f"/users?cursor={cursor}")[0] == 422
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def make(service: RunningService, user_id: str, rated: list[str]) -> None:
    for item_id in rated:
        assert service.call("POST", "/ratings", {"user_id": user_id, "item_id": item_id, "value": 5})[0] == 201


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@pytest.mark.usefixtures("postgres_programs")
def test_backup_and_restore_under_load(kind: str, databases: MigratedDatabases, tmp_path: Path) -> None:
    """The backup holds what was acknowledged before it began; what is acknowledged after the restore stays."""
    with databases.fresh(kind, tmp_path) as url, Instance(tmp_path, url).serving("--no-worker") as service:
        make(service, "before", ["i1", "i2"])
        with load(service):
            backup(url, tmp_path, tmp_path / "copy")
            assert service.call("PUT", "/users/lost", {})[0] == 201
            restore(url, tmp_path, tmp_path / "copy")
            wait_until(lambda: service.call("PUT", "/users/late", {})[0] == 201)
            wait_until(lambda: service.call("GET", "/users/lost")[0] == 404)
        assert service.call("GET", "/users/late")[0] == 200
        rated = service.get("/users/before/ratings")["ratings"]
        assert sorted(each["item_id"] for each in rated) == ["i1", "i2"]
        assert service.call("PUT", "/users/later", {})[0] == 201
