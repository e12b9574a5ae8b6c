import os
import time
from pathlib import Path

from app.snapshots.retention import ORPHAN_SECONDS, remove_orphans, remove_snapshot
from tests.support.snapshot_data import write_small_snapshot


def make_old(folder: Path) -> None:
    old = time.time() - ORPHAN_SECONDS - 1
    os.utime(folder, (old, old))


def test_removes_old_orphans_only(tmp_path: Path) -> None:
    for version in (1, 2, 3):
        write_small_snapshot(tmp_path, version)
    for name in (".staging-000004-ab", ".staging-000005-cd", "notes", "000006.removed"):
        (tmp_path / name).mkdir()
    for name in ("000001", "000002", ".staging-000004-ab", "notes", "000006.removed"):
        make_old(tmp_path / name)
    assert remove_orphans(tmp_path, registered={1}) == [".staging-000004-ab", "000002", "000006.removed"]
    assert sorted(folder.name for folder in tmp_path.iterdir()) == [".staging-000005-cd", "000001", "000003", "notes"]


def test_orphan_ahead_of_the_clock(tmp_path: Path) -> None:
    """It ages from now on, instead of staying for years."""
    orphan = tmp_path / ".staging-000004-ab"
    orphan.mkdir()
    ahead = time.time() + 365 * 86_400
    os.utime(orphan, (ahead, ahead))
    assert remove_orphans(tmp_path, registered=()) == []
    assert orphan.stat().st_mtime <= time.time()


def test_links_are_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "snapshots"
    root.mkdir()
    (root / "000001").symlink_to(outside)
    make_old(outside)
    assert remove_orphans(root, registered=()) == []
    assert outside.is_dir()


def test_no_folder_yet(tmp_path: Path) -> None:
    assert remove_orphans(tmp_path / "snapshots", registered=()) == []


def test_remove_snapshot(tmp_path: Path) -> None:
    write_small_snapshot(tmp_path, 1)
    remove_snapshot(tmp_path, 1)
    remove_snapshot(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []
