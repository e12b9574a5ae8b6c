"""One worker for all catalogues."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.settings import Settings
from app.store import Store, migrate
from app.worker.loop import Worker
from app.worker.rounds import Rounds

pytestmark = pytest.mark.slow

NAMES = ("a", "b", "c")


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[tuple[Settings, Store]]:
    settings = Settings(data_dir=tmp_path)
    migrate("", tmp_path)
    for name in NAMES:
        own = settings.of_tenant(name).data_dir
        own.mkdir(parents=True)
        shutil.copy(tmp_path / "reckon.db", own)  # faster than to migrate
    store = Store.open("", tmp_path)
    for name in NAMES:
        store.tenants.begin(name)
        store.tenants.move(name, "active", among=["creating"])
    yield settings, store
    store.close()


def jobs_of(settings: Settings, name: str, n: int = 0) -> list[str]:
    """The states of the jobs of a tenant, after `n` more that differ are enqueued."""
    own = Store.open("", settings.of_tenant(name).data_dir)
    for _ in range(n):
        own.jobs.enqueue("request", seed=len(own.jobs.latest()))
    states = [job.state for job in own.jobs.latest()]
    own.close()
    return states


@pytest.mark.parametrize("most_open", [1, 32])
def test_turns(deployment: tuple[Settings, Store], tmp_path: Path, most_open: int) -> None:
    """A tenant with many jobs makes the others wait for one. Those of a suspended one are served, too."""
    settings, store = deployment
    jobs_of(settings, "a", 3)
    jobs_of(settings, "c", 1)
    store.tenants.move("c", "suspended", among=["active"])
    rounds, main = Rounds(settings, store, most_open), Worker.build(settings, store)
    assert rounds.round(main, threading.Event())
    # Without ratings, each job is rejected at once.
    assert sorted(jobs_of(settings, "a")) == ["queued", "queued", "rejected"]
    assert jobs_of(settings, "c") == ["rejected"]
    assert len(rounds._open) == min(most_open, 3)
    assert all(
        worker.trainer.publisher.data_dir == tmp_path / "tenants" / name for name, worker in rounds._open.items()
    )
    for _ in range(2):
        rounds.round(main, threading.Event())
    assert jobs_of(settings, "a") == ["rejected"] * 3
    assert not rounds.round(main, threading.Event())
    rounds.close()


def test_tenant_without_database(deployment: tuple[Settings, Store]) -> None:
    """The others are served; one that is being deleted is left alone, and one that is gone is forgotten."""
    settings, store = deployment
    jobs_of(settings, "c", 1)
    broken = settings.of_tenant("a").data_dir / "reckon.db"
    broken.write_bytes(b"no database" * 1_000)
    store.tenants.move("b", "deleting", among=["active"])
    rounds = Rounds(settings, store)
    with capture_logs() as entries:
        rounds.round(Worker.build(settings, store), threading.Event())
    assert jobs_of(settings, "c") == ["rejected"]
    assert [entry["event"] for entry in entries].count("worker waits") == 1
    assert set(rounds._open) == {"c"}
    store.tenants.end("c")
    rounds.round(Worker.build(settings, store), threading.Event())
    assert set(rounds._open) == set()
