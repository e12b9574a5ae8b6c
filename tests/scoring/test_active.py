import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from app.scoring import ActiveSnapshot, Refresh
from app.scoring.active import RETRY_SECONDS
from app.snapshots.manifest import FORMAT
from tests.support.forged import forge_index
from tests.support.snapshot_data import DATABASE_ID, write_small_snapshot


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def active(clock: Clock) -> ActiveSnapshot:
    return ActiveSnapshot(DATABASE_ID, clock)


def damage(folder: Path) -> None:
    (folder / "item_vectors.npy").write_bytes(b"")


def test_nothing_live(active: ActiveSnapshot) -> None:
    assert active.refresh(None, None) is Refresh.UNCHANGED
    assert active.current is None


def test_swaps_to_live(active: ActiveSnapshot, tmp_path: Path) -> None:
    assert active.refresh(1, write_small_snapshot(tmp_path, 1)) is Refresh.SWAPPED
    assert active.refresh(1, tmp_path / "000001") is Refresh.UNCHANGED
    first = active.current
    assert active.refresh(2, write_small_snapshot(tmp_path, 2)) is Refresh.SWAPPED
    assert active.current is not None
    assert active.current.version == 2
    shutil.rmtree(tmp_path / "000001")
    assert first is not None  # a request in flight keeps what it got, files gone or not
    assert len(first.index.nearest(first.user_vectors[0], 10)[0]) == 10


def test_rolls_back(active: ActiveSnapshot, tmp_path: Path) -> None:
    for version in (1, 2):
        active.refresh(version, write_small_snapshot(tmp_path, version))
    assert active.refresh(1, tmp_path / "000001") is Refresh.SWAPPED


def test_damaged_keeps_old(active: ActiveSnapshot, tmp_path: Path) -> None:
    active.refresh(1, write_small_snapshot(tmp_path, 1))
    damage(write_small_snapshot(tmp_path, 2))
    assert active.refresh(2, tmp_path / "000002") is Refresh.DAMAGED
    assert active.current is not None
    assert active.current.version == 1
    assert "item_vectors.npy" in active.problem
    assert active.refresh(1, tmp_path / "000001") is Refresh.UNCHANGED
    assert active.problem == ""


def test_refused_is_not_read_again(active: ActiveSnapshot, tmp_path: Path, clock: Clock) -> None:
    folder = write_small_snapshot(tmp_path, 2)
    shutil.copytree(folder, tmp_path / "sound")
    damage(folder)
    assert active.refresh(2, folder) is Refresh.DAMAGED
    shutil.copytree(tmp_path / "sound", folder, dirs_exist_ok=True)
    assert active.refresh(2, folder) is Refresh.UNCHANGED
    assert active.current is None
    clock.now += RETRY_SECONDS
    assert active.refresh(2, folder) is Refresh.SWAPPED
    assert active.problem == ""


def test_next_version_is_read_at_once(active: ActiveSnapshot, tmp_path: Path) -> None:
    damage(write_small_snapshot(tmp_path, 1))
    assert active.refresh(1, tmp_path / "000001") is Refresh.DAMAGED
    assert active.refresh(2, write_small_snapshot(tmp_path, 2)) is Refresh.SWAPPED


def test_late_volume(active: ActiveSnapshot, tmp_path: Path, clock: Clock) -> None:
    assert active.refresh(1, tmp_path / "000001") is Refresh.DAMAGED
    write_small_snapshot(tmp_path, 1)
    clock.now += RETRY_SECONDS
    assert active.refresh(1, tmp_path / "000001") is Refresh.SWAPPED


def test_other_database_is_ignored(active: ActiveSnapshot, tmp_path: Path) -> None:
    active.refresh(1, write_small_snapshot(tmp_path, 1))
    folder = write_small_snapshot(tmp_path, 2, database_id="elsewhere")
    assert active.refresh(2, folder) is Refresh.FOREIGN
    assert active.current is not None
    assert active.current.version == 1


@pytest.mark.parametrize(("found", "outcome"), [(FORMAT - 1, Refresh.OUTDATED), (FORMAT + 1, Refresh.FOREIGN)])
def test_other_formats(active: ActiveSnapshot, tmp_path: Path, found: int, outcome: Refresh) -> None:
    manifest = write_small_snapshot(tmp_path, 1) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": found}))
    assert active.refresh(1, tmp_path / "000001") is outcome
    assert active.current is None


def test_cleared_with_register(active: ActiveSnapshot, tmp_path: Path) -> None:
    active.refresh(1, write_small_snapshot(tmp_path, 1))
    assert active.refresh(None, None) is Refresh.CLEARED
    assert active.current is None


def test_requests_during_swaps(active: ActiveSnapshot, tmp_path: Path) -> None:
    """A request sees one version from its first to its last look, whatever happens meanwhile."""
    folders = {version: write_small_snapshot(tmp_path, version, seed=version) for version in (1, 2)}
    active.refresh(1, folders[1])
    stop = threading.Event()
    failures: list[str] = []

    def answer() -> None:
        while not stop.is_set():
            snapshot = active.current
            if snapshot is None:
                failures.append("no snapshot")
                continue
            rows, scores = snapshot.index.nearest(snapshot.user_vectors[0], 5)
            if not np.allclose(snapshot.item_vectors[rows] @ snapshot.user_vectors[0], scores, rtol=1e-4, atol=1e-5):
                failures.append("mixed versions")

    threads = [threading.Thread(target=answer) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for version in (2, 1) * 10:
            active.refresh(version, folders[version])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_unforeseen_error_refuses(active: ActiveSnapshot, tmp_path: Path, clock: Clock) -> None:
    """What the checks of a forged folder do not foresee is raised, once in a while: the old one stays."""
    active.refresh(1, write_small_snapshot(tmp_path, 1))
    folder = write_small_snapshot(tmp_path, 2)
    forge_index(folder)
    with pytest.raises(IndexError):
        active.refresh(2, folder)
    assert active.problem == "IndexError while loading"
    assert active.refresh(2, folder) is Refresh.UNCHANGED
    assert active.current is not None
    assert active.current.version == 1
    clock.now += RETRY_SECONDS
    with pytest.raises(IndexError):
        active.refresh(2, folder)
    assert active.refresh(3, write_small_snapshot(tmp_path, 3)) is Refresh.SWAPPED
