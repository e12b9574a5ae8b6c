"""Snapshots in object storage, on storage in memory that honours conditions; `tests/object_storage` asks a server."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.errors import StorageFullError
from app.snapshots.bucket import CHECKS, LIVE_KEY, SnapshotBucket
from app.snapshots.errors import DownloadStoppedError, PrefixTakenError, PublishedMeanwhileError, SnapshotDamagedError
from app.snapshots.manifest import MANIFEST_FILE
from app.snapshots.object_store import AlreadyThereError
from app.snapshots.read import manifest_digest
from tests.support.object_storage import memory_bucket
from tests.support.snapshot_data import write_small_snapshot

OWN, FOREIGN = "a-database", "another-database"


def ignore(_share: float, _what: str) -> None:
    pass


@pytest.fixture
def bucket() -> SnapshotBucket:
    return memory_bucket()


def publish(bucket: SnapshotBucket, root: Path, version: int = 1) -> str:
    """A small snapshot, published; the digest of its manifest."""
    folder = write_small_snapshot(root, version)
    turn = bucket.begin(OWN)
    bucket.upload(folder, version, ignore)
    digest = manifest_digest(folder)
    bucket.publish(turn, version, digest, "a-job")
    return digest


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_published_and_downloaded(bucket: SnapshotBucket, tmp_path: Path) -> None:
    digest = publish(bucket, tmp_path / "a")
    shares: list[float] = []
    folder = bucket.download(tmp_path / "b", 1, digest, progress=lambda share, _what: shares.append(share))
    assert contents(folder) == contents(tmp_path / "a" / "000001")
    assert [each.name for each in (tmp_path / "b").iterdir()] == ["000001"]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert bucket.versions() == {1}
    assert bucket.owner() == OWN


def test_the_manifest_is_uploaded_last(bucket: SnapshotBucket, tmp_path: Path) -> None:
    folder = write_small_snapshot(tmp_path, 1)
    (folder / "items.faiss").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        bucket.upload(folder, 1, ignore)
    assert not bucket.has(1)
    assert bucket.holds(1)
    with pytest.raises(SnapshotDamagedError, match="does not have snapshot 1"):
        bucket.download(tmp_path / "b", 1, None)


def test_first_of_two_publications_wins(bucket: SnapshotBucket) -> None:
    first, second = bucket.begin(OWN), bucket.begin(OWN)
    bucket.publish(second, 2, "d2", "job-2")
    with pytest.raises(PublishedMeanwhileError, match="job job-2 has published snapshot 2"):
        bucket.publish(first, 1, "d1", "job-1")
    # The next one begins anew.
    bucket.publish(bucket.begin(OWN), 3, "d3", "job-3")


def test_clock_that_was_set_back(bucket: SnapshotBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By ten minutes between two publications: nothing compares their times."""
    publish(bucket, tmp_path / "a", 1)
    now = datetime.now(UTC)

    class Behind(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Behind":  # noqa: ARG003  as of its base
            return cls.fromtimestamp(now.timestamp() - 600, UTC)

    monkeypatch.setattr("app.snapshots.bucket.datetime", Behind)
    digest = publish(bucket, tmp_path / "a", 2)
    assert bucket.download(tmp_path / "b", 2, digest).is_dir()
    bucket.remove([1], OWN)
    assert bucket.versions() == {2}


def test_lost_answer_is_no_conflict(bucket: SnapshotBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """The storage has replaced the object, and the repeated request finds it replaced."""
    turn = bucket.begin(OWN)
    real = type(bucket.objects).put

    def put(self: Any, key: str, content: bytes, **condition: Any) -> str:
        real(self, key, content, **condition)
        raise AlreadyThereError

    monkeypatch.setattr(type(bucket.objects), "put", put)
    assert bucket.publish(turn, 1, "d", "a-job").published.version == 1


def test_removed_live_object_is_a_conflict(bucket: SnapshotBucket) -> None:
    turn = bucket.begin(OWN)
    bucket.objects.remove([LIVE_KEY])
    with pytest.raises(PublishedMeanwhileError, match=r"live\.json was removed"):
        bucket.publish(turn, 1, "d", "a-job")


def test_two_services_on_one_prefix(bucket: SnapshotBucket, tmp_path: Path) -> None:
    """The place is taken before anything is uploaded."""
    bucket.begin(OWN)
    for refused in (bucket.begin, bucket.check_owner):
        with pytest.raises(PrefixTakenError, match=f"holds the snapshots of database {OWN}, and this is {FOREIGN}"):
            refused(FOREIGN)
    publish(bucket, tmp_path)
    bucket.remove([1], FOREIGN)
    assert bucket.has(1)


def test_nothing_is_removed_where_the_owner_is_unknown(bucket: SnapshotBucket, tmp_path: Path) -> None:
    bucket.upload(write_small_snapshot(tmp_path, 1), 1, ignore)
    bucket.remove([1], OWN)
    assert bucket.has(1)
    bucket.begin(OWN)
    bucket.remove([1], OWN)
    assert not bucket.holds(1)


def test_foreign_live_object(bucket: SnapshotBucket) -> None:
    bucket.objects.put(LIVE_KEY, b'{"hello": 1}')
    with pytest.raises(PrefixTakenError, match="not one of Reckon"):
        bucket.begin(OWN)


def test_version_that_exists(bucket: SnapshotBucket, tmp_path: Path) -> None:
    publish(bucket, tmp_path / "a")
    folder = write_small_snapshot(tmp_path / "b", 1, seed=5)
    with pytest.raises(PublishedMeanwhileError, match="exists already"):
        bucket.upload(folder, 1, ignore)


@pytest.mark.parametrize("name", ["item_vectors.npy", "items.faiss", "features.json"])
@pytest.mark.parametrize("harm", ["cut", "swapped", "longer", "removed"])
def test_damaged_object_is_refused(bucket: SnapshotBucket, tmp_path: Path, name: str, harm: str) -> None:
    digest = publish(bucket, tmp_path / "a")
    key, content = f"snapshots/000001/{name}", (tmp_path / "a" / "000001" / name).read_bytes()
    if harm == "removed":
        bucket.objects.remove([key])
    else:
        harmed = {"cut": content[:-1], "swapped": bytes(len(content)), "longer": content + b"x"}[harm]
        bucket.objects.put(key, harmed)
    with pytest.raises(SnapshotDamagedError, match=name):
        bucket.download(tmp_path / "b", 1, digest)
    assert list((tmp_path / "b").iterdir()) == []


def test_swapped_manifest_is_refused(bucket: SnapshotBucket, tmp_path: Path) -> None:
    digest = publish(bucket, tmp_path / "a")
    other = write_small_snapshot(tmp_path / "c", 1, seed=7)
    bucket.objects.put(f"snapshots/000001/{MANIFEST_FILE}", (other / MANIFEST_FILE).read_bytes())
    with pytest.raises(SnapshotDamagedError, match="not the one that was registered"):
        bucket.download(tmp_path / "b", 1, digest)
    bucket.objects.put(f"snapshots/000001/{MANIFEST_FILE}", b"x" * (2 << 20))
    with pytest.raises(SnapshotDamagedError, match="too long"):
        bucket.download(tmp_path / "b", 1, None)


def test_full_disk(bucket: SnapshotBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = publish(bucket, tmp_path / "a")
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=100))
        with pytest.raises(StorageFullError, match="to be downloaded"):
            bucket.download(tmp_path / "b", 1, digest)

    def write(_descriptor: int, _content: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", write)
        with pytest.raises(StorageFullError, match="filled up while snapshot 1 was downloaded"):
            bucket.download(tmp_path / "b", 1, digest)
    assert list((tmp_path / "b").iterdir()) == []


def test_stopped_download_leaves_nothing(bucket: SnapshotBucket, tmp_path: Path) -> None:
    digest = publish(bucket, tmp_path / "a")
    with pytest.raises(DownloadStoppedError):
        bucket.download(tmp_path / "b", 1, digest, is_stopped=lambda: True)
    assert list((tmp_path / "b").iterdir()) == []


def test_conditions_are_tested(bucket: SnapshotBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bucket.honours_conditions()
    assert bucket.objects.sizes("checks") == {}
    real = type(bucket.objects).put
    monkeypatch.setattr(type(bucket.objects), "put", lambda self, key, content, **_condition: real(self, key, content))
    assert not bucket.honours_conditions()
    assert bucket.objects.sizes("checks") == {}


def test_nothing_remains_of_what_is_removed(bucket: SnapshotBucket, tmp_path: Path) -> None:
    """Not even what a test of the storage left behind that was cut off."""
    publish(bucket, tmp_path)
    bucket.objects.put(f"{CHECKS}/0123456789abcdef", b"1")
    bucket.remove_all()
    assert bucket.objects.sizes("") == {}
