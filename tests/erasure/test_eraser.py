"""From the deletion of a user to a completed erasure."""

import fcntl
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.entities import User
from app.erasure.eraser import Eraser
from app.erasure.overdue import overdue_warning
from app.errors import UnavailableError
from app.intake.uploads import Uploads
from app.settings import Settings
from app.snapshots import retention
from app.snapshots.folders import SnapshotFolders
from app.store import Store
from app.store.snapshots import ErasedSinceError
from app.worker.loop import Worker
from app.worker.triggers import Triggers
from tests.erasure.conftest import Publish
from tests.support.ratings import incoming

ID, CANARY = "user-of-no-return", "canary-of-the-erased"


@pytest.fixture(autouse=True)
def users(store: Store) -> None:
    store.users.record([User(ID, CANARY, {"text": CANARY * 20}), User("bob")])
    store.ratings.record(incoming(("bob", "x", 5.0), (ID, "x", 4.0)))


def files_with(folder: Path, text: str) -> list[str]:
    encoded = [text.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be")]
    return [path.name for path in folder.rglob("*") if path.is_file() and any(e in path.read_bytes() for e in encoded)]


def test_nothing_is_left(store: Store, publish: Publish, tmp_path: Path) -> None:
    erase = Eraser(store, SnapshotFolders(tmp_path)).proceed
    first, second = publish(ID), publish(CANARY)
    rejected = tmp_path / "rejected" / "ratings.csv"
    rejected.parent.mkdir()
    rejected.write_text(f"{ID},item-1,eleven\n")
    (tmp_path / "snapshots" / "notes.txt").write_text("of the operator")
    uploads = Uploads(tmp_path)
    uploads.begin("before.csv", 0).write_text(f"{ID},item-1,5\n")
    erasure = store.users.delete(ID)
    later = uploads.begin("later.csv", 0)
    later.write_text("bob,item-1,5\n")
    # The clock of files is a few milliseconds behind: a file of the same moment is removed, to be safe.
    os.utime(later.parent, (time.time() + 1, time.time() + 1))
    assert erasure is not None
    assert files_with(tmp_path, ID)
    assert not erase()  # until a snapshot without the user is live
    version = publish("others")
    assert erase()
    assert not erase()
    assert files_with(tmp_path, CANARY) == files_with(tmp_path, ID) == []
    assert later.exists()
    completed = store.erasures.get(erasure.erasure_id)
    assert completed.completed_at is not None
    assert (completed.removed_snapshots, completed.snapshot_version) == ((first, second), version)
    assert (completed.removed["users"], completed.removed["rejected_files"]) == (1, 1)
    assert sorted(path.name for path in (tmp_path / "snapshots").iterdir()) == ["000003", "notes.txt"]
    assert store.users.get("bob") is not None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_leftovers_of_a_killed_restore(store: Store, tmp_path: Path) -> None:
    """A backup that it put back may hold users whose erasures are completed. That of a restore in progress stays."""
    names = ["reckon.db.copy", "reckon.db.restoring", "reckon.db.restoring-wal"]
    for name in names:
        (tmp_path / name).write_text(CANARY)
    with (tmp_path / "reckon.db.restoring").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not Eraser(store, SnapshotFolders(tmp_path)).proceed()
        assert [name for name in names if (tmp_path / name).exists()] == names[1:]
        store.users.delete(ID)
        with pytest.raises(UnavailableError, match="restore"):
            Eraser(store, SnapshotFolders(tmp_path)).proceed()
    assert Eraser(store, SnapshotFolders(tmp_path)).proceed()
    assert files_with(tmp_path, CANARY) == []


def test_same_database(store: Store, tmp_path: Path) -> None:
    """A process does not take the files that are written anew for those of another database."""
    generation = store.generation.check()
    store.users.delete(ID)
    assert Eraser(store, SnapshotFolders(tmp_path)).proceed()
    assert store.generation.check() == generation
    store.users.record([User("eve")])
    assert store.users.get("eve") is not None


def test_no_way_back(store: Store, publish: Publish, tmp_path: Path) -> None:
    """An older snapshot is not activated again, and a pinned one gives way."""
    first, second = publish(ID), publish(ID)
    store.snapshots.activate(first)
    store.users.delete(ID)
    store.snapshots.activate(second)  # which holds as much of the user
    version = publish("others")
    live = store.snapshots.live()
    assert live is not None
    assert (live.version, live.is_pinned, live.n_erasures) == (version, False, 1)
    with pytest.raises(ErasedSinceError):
        store.snapshots.activate(first)
    assert Eraser(store, SnapshotFolders(tmp_path)).proceed()
    assert [entry.version for entry in store.snapshots.entries()] == [version]


def test_pin_stays_without_erasure(store: Store, publish: Publish) -> None:
    store.users.delete("bob")
    store.snapshots.activate(first := publish(""))
    publish("")
    live = store.snapshots.live()
    assert live is not None
    assert live.version == first


def test_crash_between_steps(store: Store, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entries of snapshots are gone, and their folders are not: the receipt waits for them, and names them."""
    first = publish(ID)
    erasure = store.users.delete(ID)
    publish("others")
    with monkeypatch.context() as patch:
        patch.setattr("app.snapshots.folders.remove_snapshot", lambda _root, _version: None)
        assert not Eraser(store, SnapshotFolders(tmp_path)).proceed()
    assert files_with(tmp_path / "snapshots", ID)
    monkeypatch.setattr(retention, "ORPHAN_SECONDS", -1)
    retention.remove_orphans(tmp_path / "snapshots", {entry.version for entry in store.snapshots.entries()})
    assert Eraser(store, SnapshotFolders(tmp_path)).proceed()
    assert erasure is not None
    assert store.erasures.get(erasure.erasure_id).removed_snapshots == (first,)


def test_last_user(store: Store, publish: Publish, tmp_path: Path) -> None:
    """Where nothing is left to learn from, no snapshot stays either."""
    publish(ID)
    store.users.delete(ID)
    assert not Eraser(store, SnapshotFolders(tmp_path)).proceed()
    store.users.delete("bob")
    assert Eraser(store, SnapshotFolders(tmp_path)).proceed()
    assert store.snapshots.entries() == []
    assert list((tmp_path / "snapshots").iterdir()) == []


def test_before_any_snapshot(store: Store, tmp_path: Path) -> None:
    store.jobs.enqueue("request")
    claim = store.jobs.claim("worker", lease_seconds=60)
    assert claim is not None
    store.users.delete(ID)
    assert not Eraser(store, SnapshotFolders(tmp_path)).proceed()  # the run may have read the user
    store.jobs.finish(claim, state="failed", reason="no ratings")
    assert Eraser(store, SnapshotFolders(tmp_path)).proceed()


def test_worker_erases(store: Store, publish: Publish, tmp_path: Path) -> None:
    """A run by the worker itself, whose data are too few for more than popular items."""
    worker = Worker.build(Settings(data_dir=tmp_path), store)
    worker.triggers = Triggers(store, 0, 0, 0, erasure_hours=0)
    first = publish(ID)
    store.users.delete(ID)
    stopping = threading.Event()
    assert not worker.step(stopping)
    assert store.jobs.latest(1)[0].trigger == "erasure"
    assert worker.step(stopping)
    assert not worker.step(stopping)
    assert [erasure.removed_snapshots for erasure in store.erasures.latest(2)] == [(first,)]
    assert store.erasures.pending() == []


def test_erasures_share_a_run(store: Store, publish: Publish) -> None:
    triggers = Triggers(store, 0, 0, 0, erasure_hours=24)
    publish(ID)
    store.users.delete(ID)
    now = datetime.now(UTC)
    assert triggers.cause(now + timedelta(minutes=55)) is None
    assert triggers.cause(now + timedelta(minutes=61)) == "erasure"
    publish("others")
    assert triggers.cause(now + timedelta(days=2)) is None


def test_rejected_runs_do_not_delay(store: Store, publish: Publish) -> None:
    """Runs that publish nothing are tried again after ever longer pauses, but for an erasure at least every hour."""
    publish(ID)
    for _ in range(12):
        store.jobs.enqueue("request")
        claim = store.jobs.claim("worker", lease_seconds=60)
        assert claim is not None
        store.jobs.finish(claim, state="rejected", reason="worse")
    store.users.delete(ID)
    triggers = Triggers(store, 0, 1, 0, erasure_hours=24)
    assert triggers.cause(datetime.now(UTC) + timedelta(minutes=61)) == "erasure"


def test_overdue(store: Store) -> None:
    store.users.delete("bob")
    assert overdue_warning(store) is None
    store.users.delete(ID, within=timedelta(seconds=-1))
    warning = overdue_warning(store)
    assert warning is not None
    assert warning.reason.startswith("1 erasures")
    assert store.erasures.count_open() == (2, 1)
