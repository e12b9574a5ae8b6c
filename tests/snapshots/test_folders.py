"""Where folders are, and how a process brings one while it goes on."""

import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.scoring import open_snapshot
from app.settings import Settings
from app.snapshots.bucket import SnapshotBucket
from app.snapshots.errors import DownloadStoppedError, SnapshotDamagedError
from app.snapshots.fetching import DAMAGED_PAUSE_SECONDS, AwaitedDownloads, SnapshotFetcher
from app.snapshots.folders import SnapshotFolders
from app.snapshots.object_store import KEY_VARIABLES
from app.snapshots.read import manifest_digest
from tests.support.object_storage import memory_bucket
from tests.support.service import wait_until
from tests.support.snapshot_data import DATABASE_ID, write_small_snapshot

OWN = "a-database"


@dataclass(frozen=True)
class Entry:
    version: int
    digest: str | None
    path: str = "snapshots/000001"


@pytest.fixture
def published(tmp_path: Path) -> tuple[SnapshotBucket, Entry]:
    bucket = memory_bucket()
    folder = write_small_snapshot(tmp_path / "trainer", 1)
    bucket.upload(folder, 1, lambda _share, _what: None)
    return bucket, Entry(1, manifest_digest(folder))


def test_without_object_storage_a_folder_is_where_it_is(tmp_path: Path) -> None:
    folders = SnapshotFolders(tmp_path)
    entry = Entry(1, "any")
    assert folders.get(entry) == folders.local(entry) == tmp_path / "snapshots/000001"
    assert folders.is_here(entry)
    assert not folders.distrust(entry)
    with folders.publishing(OWN) as publication:
        assert publication.upload(tmp_path, 1, "d", "a-job") is publication
    assert folders.remove_unregistered(list)
    assert list(tmp_path.iterdir()) == []


def test_copy_of_another_state_is_replaced(published: tuple[SnapshotBucket, Entry], tmp_path: Path) -> None:
    """The database was restored, and the version means another snapshot now."""
    bucket, entry = published
    folders = SnapshotFolders(tmp_path / "replica", bucket)
    write_small_snapshot(folders.root, 1, seed=9)
    assert not folders.is_here(entry)
    assert manifest_digest(folders.get(entry)) == entry.digest
    assert folders.is_here(entry)


def test_remains_of_killed_downloads_are_removed(published: tuple[SnapshotBucket, Entry], tmp_path: Path) -> None:
    bucket, entry = published
    folders = SnapshotFolders(tmp_path / "replica", bucket)
    (folders.root / ".download-000001-ab").mkdir(parents=True)
    folders.get(entry)
    assert list(folders.root.glob(".download-*")) == []


def test_one_download_for_all_processes(published: tuple[SnapshotBucket, Entry], tmp_path: Path) -> None:
    bucket, entry = published
    n_downloads = 0
    real = SnapshotBucket.download

    class Counting(SnapshotBucket):
        def download(self, *arguments: Any, **options: Any) -> Path:
            nonlocal n_downloads
            n_downloads += 1
            return real(self, *arguments, **options)

    folders = SnapshotFolders(tmp_path / "replica", Counting(bucket.objects))
    threads = [threading.Thread(target=folders.get, args=(entry,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert n_downloads == 1


def test_a_version_is_free_if_there_is_nothing_of_it_anywhere(
    published: tuple[SnapshotBucket, Entry], tmp_path: Path
) -> None:
    folders = SnapshotFolders(tmp_path / "replica", published[0])
    assert not folders.is_free(1)
    assert folders.is_free(2)


def test_fetcher_pauses_longer_each_time(published: tuple[SnapshotBucket, Entry], tmp_path: Path) -> None:
    bucket, entry = published
    now, outcomes = [0.0], list[str]()
    fetcher = SnapshotFetcher(SnapshotFolders(tmp_path / "replica", bucket), outcomes.append, lambda: now[0])
    key, name = "snapshots/000001/items.faiss", "items.faiss"
    content = (tmp_path / "trainer" / "000001" / name).read_bytes()
    bucket.objects.put(key, content[:-1])

    def want() -> None:
        fetcher.want(entry)
        wait_until(lambda: not fetcher.is_fetching)

    want()
    want()
    assert outcomes == ["damaged"]
    problem = fetcher.problem(1)
    assert problem is not None
    assert problem.is_damage
    assert name in problem.why
    assert fetcher.problem(2) is None
    bucket.objects.put(key, content)
    now[0] = DAMAGED_PAUSE_SECONDS
    want()
    assert outcomes == ["damaged", "fetched"]
    assert fetcher.problem(1) is None
    assert fetcher.take_verified(1) is not None
    assert fetcher.take_verified(1) is None  # once


def test_damaged_copy_is_read_from_storage(published: tuple[SnapshotBucket, Entry], tmp_path: Path) -> None:
    """The gate, an activation and an export read what was published, not a copy that has rotted."""
    bucket, entry = published
    folders = SnapshotFolders(tmp_path / "replica", bucket)
    opened: list[int] = []

    def use(folder: Path) -> int:
        opened.append(1)
        return open_snapshot(folder, DATABASE_ID, entry.version, entry.digest).n_items

    n_items = folders.read(entry, use)
    rotten = folders.local(entry) / "item_counts.npy"
    content = bytearray(rotten.read_bytes())
    content[-1] ^= 1
    rotten.chmod(0o600)
    rotten.write_bytes(content)
    opened.clear()
    assert folders.read(entry, use) == n_items
    assert len(opened) == 2
    with pytest.raises(SnapshotDamagedError):
        SnapshotFolders(tmp_path / "alone").read(entry, use)


def test_damage_in_storage_is_not_downloaded_again(published: tuple[SnapshotBucket, Entry], tmp_path: Path) -> None:
    bucket, entry = published
    folders = SnapshotFolders(tmp_path / "replica", bucket)
    bucket.objects.remove(["snapshots/000001/items.faiss"])
    asked: list[Entry] = []

    def get(wanted: Any) -> Path:
        asked.append(wanted)
        return folders.get(wanted)

    with pytest.raises(SnapshotDamagedError, match=r"items\.faiss"):
        folders.read(entry, lambda folder: folder, get)
    assert asked == [entry]


def test_stopped_fetcher_begins_nothing(published: tuple[SnapshotBucket, Entry], tmp_path: Path) -> None:
    bucket, entry = published
    fetcher = SnapshotFetcher(SnapshotFolders(tmp_path / "replica", bucket))
    fetcher.stop()
    fetcher.want(entry)
    assert not fetcher.is_fetching


def test_awaited_download(published: tuple[SnapshotBucket, Entry], tmp_path: Path) -> None:
    bucket, entry = published
    folders, downloads = SnapshotFolders(tmp_path / "replica", bucket), AwaitedDownloads()
    assert manifest_digest(downloads.get(folders, entry)) == entry.digest
    shutil.rmtree(folders.local(entry))
    bucket.objects.remove(["snapshots/000001/items.faiss"])
    with pytest.raises(SnapshotDamagedError, match=r"items\.faiss"):
        downloads.get(folders, entry)
    downloads.stop()
    with pytest.raises(DownloadStoppedError):
        downloads.get(folders, entry)


def test_awaited_download_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the storage does not answer, for which a read waits ten seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        for name in (*KEY_VARIABLES, "AWS_REGION"):
            monkeypatch.setenv(name, "any")
        folders, downloads = SnapshotFolders(tmp_path, SnapshotBucket.at("s3://bucket/prefix")), AwaitedDownloads()
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(downloads.get, folders, Entry(1, None))
            connection, _ = silent.accept()
            with connection:
                downloads.stop()
                with pytest.raises(DownloadStoppedError):
                    waiting.result(timeout=5)


def test_full_disk_is_a_problem_that_is_told(
    published: tuple[SnapshotBucket, Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, entry = published
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=0))
    fetcher = SnapshotFetcher(SnapshotFolders(tmp_path / "replica", bucket))
    fetcher.want(entry)
    wait_until(lambda: not fetcher.is_fetching)
    problem = fetcher.problem(1)
    assert problem is not None
    assert "free disk" in problem.why
    assert not problem.is_damage


def test_each_tenant_has_a_prefix_of_its_own() -> None:
    settings = Settings(snapshot_url="s3://bucket/prefix")
    assert settings.of_tenant("shop").snapshot_url == "s3://bucket/prefix/tenants/shop"
    assert Settings().of_tenant("shop").snapshot_url == ""
