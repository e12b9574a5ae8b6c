"""A run publishes to a real server, or says why it does not."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.erasure.eraser import Eraser
from app.snapshots.bucket import SnapshotBucket
from app.snapshots.errors import (
    ObjectStorageDownError,
    ObjectStorageRefusedError,
    PrefixTakenError,
    PublishedMeanwhileError,
)
from app.snapshots.folders import SnapshotFolders
from app.store import Store, migrate
from app.store.jobs import LeaseLostError
from app.training.publisher import Publisher
from app.training.run import Trainer
from app.worker.attempt import StoppedError
from tests.support.object_storage import BUCKET, READ, S3Server, s3_server
from tests.support.published import Shop
from tests.support.trained import RATED_LIGHTLY, fill


def shop_in(folder: Path, store: Store, prefix: str, n_kept: int = 5) -> Shop:
    bucket = SnapshotBucket.at(f"s3://{BUCKET}/{prefix}")
    return Shop(Trainer(store, Publisher(store, SnapshotFolders(folder, bucket), n_kept)))


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    migrate("", folder)
    with closing(Store.open("", folder)) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def shop(storage: S3Server, folder: Path, store: Store, prefix: str) -> Shop:  # noqa: ARG001  its environment
    return shop_in(folder, store, prefix, n_kept=1)


def test_published(shop: Shop, storage: S3Server, prefix: str, tmp_path: Path) -> None:
    shop.train(RATED_LIGHTLY)
    here = {f"snapshots/000001/{file.name}" for file in shop.trainer.publisher.root.glob("000001/*")}
    assert set(storage.keys(prefix)) == here | {"live.json"}
    entry = shop.store.snapshots.entries()[0]
    assert SnapshotFolders(tmp_path / "replica", shop.trainer.publisher.folders.bucket).get(entry).is_dir()


def test_one_of_two_runs_wins(shop: Shop, storage: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one has its folder ready, and fails with its reason; nothing of it is left."""
    shop.train(RATED_LIGHTLY)
    other = shop_in(shop.trainer.publisher.data_dir, shop.store, prefix)
    real = SnapshotBucket.upload

    def upload(self: Any, folder: Path, version: int, progress: Any) -> None:
        real(self, folder, version, progress)
        monkeypatch.setattr(SnapshotBucket, "upload", real)
        # A trainer that has lost its lease, and does not know it.
        turn = self.begin(shop.store.instance.database_id)
        self.publish(turn, 99, "d", "the-other-job")

    monkeypatch.setattr(SnapshotBucket, "upload", upload)
    with pytest.raises(PublishedMeanwhileError, match="job the-other-job has published snapshot 99"):
        other.train(RATED_LIGHTLY, seed=1)
    assert [entry.version for entry in shop.store.snapshots.entries()] == [1]
    assert [key for key in storage.keys(prefix) if "000002" in key] == []
    assert [each.name for each in shop.trainer.publisher.root.glob("0*")] == ["000001"]
    (job,) = shop.store.jobs.latest(limit=1)
    assert job.state == "failed"
    assert "the-other-job" in (job.reason or "")
    # The next run begins with what is there now.
    assert other.train(RATED_LIGHTLY, seed=2).version == 3


def test_interrupted_upload_is_never_live(
    shop: Shop, storage: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a killed process leaves it; the next tidying removes it."""
    shop.train(RATED_LIGHTLY)
    before = storage.read(f"{prefix}/live.json")

    class KilledError(BaseException):
        pass

    def put(*_arguments: Any, **_options: Any) -> str:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr("app.snapshots.object_store.ObjectStore.put", put)  # the manifest, and live.json
        patch.setattr(SnapshotBucket, "begin", SnapshotBucket.begin)
        with pytest.raises(KilledError):
            shop.train(RATED_LIGHTLY, seed=1)
    assert storage.read(f"{prefix}/live.json") == before
    assert any("000002" in key for key in storage.keys(prefix))
    (running,) = [job for job in shop.store.jobs.latest() if job.state == "running"]
    shop.trainer.publisher.tidy()
    assert any("000002" in key for key in storage.keys(prefix))  # it may still be uploading
    claim = shop.store.jobs.claim("another", lease_seconds=60)
    if claim is None:
        shop.store.jobs.withdraw(running.job_id, "a-worker", reason="killed")
    else:
        shop.store.jobs.finish(claim, state="failed", reason="killed")
    shop.trainer.publisher.tidy()
    assert not any("000002" in key for key in storage.keys(prefix))
    assert shop.trainer.publisher.folders.bucket is not None
    assert shop.trainer.publisher.folders.bucket.versions() == {1}


def test_connection_breaks_during_the_upload(
    shop: Shop, storage: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.train(RATED_LIGHTLY)
    before = storage.read(f"{prefix}/live.json")
    real = SnapshotBucket.upload

    def upload(self: Any, folder: Path, version: int, progress: Any) -> None:
        storage.forwarder.go_down()
        real(self, folder, version, progress)

    monkeypatch.setattr(SnapshotBucket, "upload", upload)
    with pytest.raises(ObjectStorageDownError, match="it does not answer"):
        shop.train(RATED_LIGHTLY, seed=1)
    storage.forwarder.come_up()
    assert storage.read(f"{prefix}/live.json") == before
    live = shop.store.snapshots.live()
    assert live is not None
    assert live.version == 1


def test_stopped_while_the_live_snapshot_is_fetched(shop: Shop) -> None:
    """A worker that stops does not wait for the download of what it compares with."""
    shop.train(RATED_LIGHTLY)
    root = shop.trainer.publisher.root
    shutil.rmtree(root / "000001")
    shop.store.jobs.enqueue("request", recipe=RATED_LIGHTLY, seed=1)
    claim = shop.store.jobs.claim("a-worker", lease_seconds=60)
    assert claim is not None

    def progress(_share: float, text: str) -> None:
        if "fetching the live snapshot" in text:
            raise StoppedError

    with pytest.raises(StoppedError):
        shop.trainer.run(claim, progress)
    assert list(root.glob("[!.]*")) == list(root.glob(".download-*")) == []


def test_lost_lease(shop: Shop, storage: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has replaced `live.json`, which is harmless: the register refuses it, and the next run publishes."""

    def register(*_arguments: Any, **_options: Any) -> None:
        raise LeaseLostError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(shop.store.snapshots, "register", register)
        with pytest.raises(LeaseLostError):
            shop.train(RATED_LIGHTLY)
    assert storage.keys(prefix) == ["live.json"]
    assert shop.train(RATED_LIGHTLY).version == 2


def test_old_versions_are_removed(shop: Shop, storage: S3Server, prefix: str) -> None:
    for seed in (0, 1):
        shop.train(RATED_LIGHTLY, seed=seed)
    shop.trainer.publisher.tidy()
    assert {key.split("/")[1] for key in storage.keys(prefix) if "/" in key} == {"000002"}


def test_tidying_waits_for_the_storage(shop: Shop, storage: S3Server, prefix: str) -> None:
    for seed in (0, 1):
        shop.train(RATED_LIGHTLY, seed=seed)
    storage.forwarder.go_down()
    shop.trainer.publisher.tidy()
    storage.forwarder.come_up()
    assert len({key.split("/")[1] for key in storage.keys(prefix) if "/" in key}) == 2
    shop.trainer.publisher.tidy()
    assert {key.split("/")[1] for key in storage.keys(prefix) if "/" in key} == {"000002"}


def test_erasure_removes_objects(shop: Shop, storage: S3Server, prefix: str) -> None:
    shop.train(RATED_LIGHTLY)
    shop.store.users.delete("user-0")
    shop.train(RATED_LIGHTLY, seed=1)
    eraser = Eraser(shop.store, shop.trainer.publisher.folders)
    storage.forwarder.go_down()
    with pytest.raises(ObjectStorageDownError):
        eraser.proceed()
    assert shop.store.erasures.pending()
    storage.forwarder.come_up()
    assert eraser.proceed()
    assert {key.split("/")[1] for key in storage.keys(prefix) if "/" in key} == {"000002"}
    assert not shop.store.erasures.pending()


def test_two_services_on_one_prefix(shop: Shop, storage: S3Server, prefix: str, tmp_path: Path) -> None:
    """The second is refused before it learns anything, and removes nothing of the first."""
    shop.train(RATED_LIGHTLY)
    kept = storage.keys(prefix)
    migrate("", tmp_path / "second")
    with closing(Store.open("", tmp_path / "second")) as store:
        fill(store)
        second = shop_in(tmp_path / "second", store, prefix)
        with pytest.raises(PrefixTakenError, match="two services need two prefixes"):
            second.train(RATED_LIGHTLY)
        second.trainer.publisher.tidy()
    assert storage.keys(prefix) == kept


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "the secret does not belong to the access key"),
        ("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN", "the access key is not known"),
        ("AWS_ACCESS_KEY_ID", "", "AWS_ACCESS_KEY_ID not set"),
    ],
)
def test_credentials(
    name: str, value: str, why: str, shop: Shop, prefix: str, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv(name, value)
    refused = shop_in(folder, shop.store, prefix)
    with pytest.raises(ObjectStorageRefusedError, match=why):
        refused.train(RATED_LIGHTLY)


def test_missing_bucket(shop: Shop, folder: Path) -> None:
    bucket = SnapshotBucket.at("s3://no-such-bucket/prefix")
    trainer = Trainer(shop.store, Publisher(shop.store, SnapshotFolders(folder, bucket)))
    with pytest.raises(ObjectStorageRefusedError, match=r"no such bucket|permission denied"):
        Shop(trainer).train(RATED_LIGHTLY)


def test_bucket_that_may_only_be_read(
    store: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server(tmp_path, actions=READ) as server:
        for name, value in server.environment("p").items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ObjectStorageRefusedError, match="permission denied") as caught:
            shop_in(folder, store, "p").train(RATED_LIGHTLY)
        assert "s3:PutObject" in caught.value.advice
    assert store.snapshots.entries() == []
