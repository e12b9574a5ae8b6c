import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from app.errors import StorageFullError
from app.scoring import open_snapshot, write_snapshot
from app.scoring.features import Encodings
from app.snapshots.errors import SnapshotDamagedError
from app.snapshots.retention import remove_orphans
from app.snapshots.write import folder_name
from tests.support.snapshot_data import (
    DATABASE_ID,
    GROUPS,
    SMALL_FILES,
    manifest_of,
    snapshot_arrays,
    write_small_snapshot,
)

CHANGING_CALLS = ("mkdir", "open", "write", "fsync", "rename")
ALL_CALLS = (*CHANGING_CALLS, "unlink", "rmdir")


class Crashed(BaseException):
    pass


class Call(NamedTuple):
    name: str
    arguments: tuple[Any, ...]


@contextmanager
def watched(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[list[Call]], None], names: tuple[str, ...]
) -> Iterator[list[Call]]:
    """Every call of `os` that changes the disk goes on record, and `act` may raise before it happens."""
    calls: list[Call] = []

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(Call(name, arguments))
            act(calls)
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # thousands of real ones would test the patience of the reader
        for name in names:
            patch.setattr(os, name, wrap(name, getattr(os, name)))
        yield calls


def count_calls(monkeypatch: pytest.MonkeyPatch, root: Path) -> int:
    with watched(monkeypatch, lambda _: None, CHANGING_CALLS) as calls:
        write_small_snapshot(root, version=99)
    shutil.rmtree(root / folder_name(99))
    return len(calls)


def test_folder_holds_exactly_format(tmp_path: Path) -> None:
    folder = write_small_snapshot(tmp_path / "snapshots")
    assert folder.name == "000001"
    assert {file.name for file in folder.iterdir()} == {*SMALL_FILES, "manifest.json"}
    assert [entry.name for entry in folder.parent.iterdir()] == ["000001"]


def test_files_are_private(tmp_path: Path) -> None:
    folder = write_small_snapshot(tmp_path / "snapshots")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_existing_version_stays(tmp_path: Path) -> None:
    folder = write_small_snapshot(tmp_path)
    before = (folder / "item_vectors.npy").read_bytes()
    with pytest.raises(OSError, match="not empty"):
        write_small_snapshot(tmp_path, seed=1)
    assert (folder / "item_vectors.npy").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["000001"]


def test_disk_full_at_each_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in range(2, count_calls(monkeypatch, tmp_path) + 1):  # the first makes `tmp_path`, which is there

        def fail(calls: list[Call], step: int = step) -> None:
            if len(calls) == step:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with watched(monkeypatch, fail, CHANGING_CALLS) as calls, pytest.raises((StorageFullError, OSError)) as raised:
            write_small_snapshot(tmp_path)
        if not any(call.name == "rename" for call in calls[: step - 1]):
            assert raised.type is StorageFullError
            assert list(tmp_path.iterdir()) == []
        for folder in tmp_path.iterdir():  # only the last fsync failed: whole, but never registered
            open_snapshot(folder, DATABASE_ID, 1)
            shutil.rmtree(folder)


def test_too_little_room_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageFullError, match="MiB of free disk"):
        write_small_snapshot(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_failed_fsync_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(calls: list[Call]) -> None:
        if calls[-1].name == "fsync":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with watched(monkeypatch, fail, CHANGING_CALLS), pytest.raises(OSError, match="Input/output"):
        write_small_snapshot(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_crash_between_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process cleans nothing up: from step k on, no call reaches the disk."""
    for step in range(1, count_calls(monkeypatch, tmp_path) + 1):

        def die(calls: list[Call], step: int = step) -> None:
            if len(calls) >= step:
                raise Crashed

        with watched(monkeypatch, die, ALL_CALLS), pytest.raises(Crashed):
            write_small_snapshot(tmp_path)
        for left in tmp_path.iterdir():
            if left.name == folder_name(1):
                open_snapshot(left, DATABASE_ID, 1)
            os.utime(left, (0, 0))
        remove_orphans(tmp_path, registered=())
        assert list(tmp_path.iterdir()) == []


def test_synced_before_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is lost at a power cut was not yet fsynced: all files and their folder are when the name appears."""
    opened: dict[int, str] = {}
    dirty: set[str] = set()
    real_open = os.open

    def open_recorded(path: Any, *arguments: Any, **options: Any) -> int:
        descriptor = real_open(path, *arguments, **options)
        opened[descriptor] = str(path)
        return descriptor

    def follow(calls: list[Call]) -> None:
        name, arguments = calls[-1]
        if name == "write":
            dirty.update({opened[arguments[0]], str(Path(opened[arguments[0]]).parent)})
        elif name == "fsync":
            dirty.discard(opened[arguments[0]])
        elif name == "rename":
            assert dirty == set()
            dirty.add(str(Path(arguments[1]).parent))

    monkeypatch.setattr(os, "open", open_recorded)
    with watched(monkeypatch, follow, ("write", "fsync", "rename")):
        write_small_snapshot(tmp_path)
    assert dirty == set()


def test_groups_without_names_are_refused(tmp_path: Path) -> None:
    arrays = snapshot_arrays()
    with pytest.raises(SnapshotDamagedError, match="names of the groups"):
        write_snapshot(tmp_path, manifest_of(arrays), arrays, Encodings())


@pytest.mark.parametrize("name", ["item_vectors", "user_vectors", "item_covariance"])
def test_non_finite_is_refused(tmp_path: Path, name: str) -> None:
    arrays = snapshot_arrays()
    spoilt = getattr(arrays, name).copy()
    spoilt[0, 0] = np.nan
    with pytest.raises(SnapshotDamagedError, match=f"{name} is not finite"):
        write_snapshot(tmp_path, manifest_of(arrays), replace(arrays, **{name: spoilt}), Encodings(), GROUPS)
    assert list(tmp_path.iterdir()) == []
