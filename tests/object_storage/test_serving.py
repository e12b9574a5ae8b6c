"""A replica with a data folder of its own follows what is published, whatever happens to the storage."""

import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.snapshots.bucket import SnapshotBucket
from app.snapshots.folders import SnapshotFolders
from app.store import Store, migrate
from app.training.publisher import Publisher
from app.training.run import Trainer
from tests.support.object_storage import BUCKET, S3Server
from tests.support.published import Shop
from tests.support.service import wait_until
from tests.support.trained import RATED_LIGHTLY, fill

LIST = "/users/user-0/recommendations"


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two snapshots, which no storage has; the second is live."""
    folder = tmp_path_factory.mktemp("learned") / "trainer"
    migrate("", folder)
    with closing(Store.open("", folder)) as store:
        fill(store)
        shop = Shop(Trainer(store, Publisher(store, SnapshotFolders(folder))))
        for seed in (0, 1):
            shop.train(RATED_LIGHTLY, seed=seed)
    return folder


@pytest.fixture
def folders(learned: Path, folder: Path, storage: S3Server, prefix: str) -> SnapshotFolders:  # noqa: ARG001  environment
    """Those of the trainer; both snapshots are in the storage as well."""
    shutil.copytree(learned, folder)
    bucket = SnapshotBucket.at(f"s3://{BUCKET}/{prefix}")
    with opened(folder) as store:
        bucket.begin(store.instance.database_id)
        for version in (1, 2):
            bucket.upload(folder / f"snapshots/{version:06d}", version, lambda _share, _what: None)
    return SnapshotFolders(folder, bucket)


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    with closing(Store.open("", folder)) as store:
        yield store


@contextmanager
def replica(folders: SnapshotFolders, tmp_path: Path, name: str = "replica") -> Iterator[TestClient]:
    """With the database of the trainer."""
    assert folders.bucket is not None
    settings = Settings(
        database_url=f"sqlite:///{folders.data_dir / 'reckon.db'}",
        data_dir=tmp_path / name,
        snapshot_url=folders.bucket.url,
        snapshot_poll_seconds=0.05,
    )
    with TestClient(create_app(settings)) as client:
        yield client


def ready(client: TestClient) -> dict[str, Any]:
    """The body of /readyz; empty where it is 503."""
    answer = client.get("/readyz")
    assert answer.status_code in {200, 503}
    return dict(answer.json()) if answer.status_code == 200 else {}


def version_of(client: TestClient) -> int | None:
    version: int | None = client.get(LIST).json()["snapshot_version"]
    return version


def n_fetches(client: TestClient, outcome: str) -> float:
    found = re.search(rf'reckon_snapshot_fetches_total{{outcome="{outcome}"}} (\S+)', client.get("/metrics").text)
    return 0.0 if found is None else float(found[1])


def local_copy(folders: SnapshotFolders, tmp_path: Path, version: int) -> Path:
    name = f"snapshots/{version:06d}"
    return shutil.copytree(folders.data_dir / name, tmp_path / "replica" / name)


def test_empty_cache(folders: SnapshotFolders, tmp_path: Path) -> None:
    with replica(folders, tmp_path) as client:
        wait_until(lambda: bool(ready(client)))
        assert ready(client)["snapshot_version"] == 2  # never ready without it
        assert client.get(LIST).json()["strategy"] == "personalized"
        assert n_fetches(client, "fetched") == 1
        assert ready(client)["warnings"] == []
    assert [each.name for each in sorted((tmp_path / "replica/snapshots").glob("[!.]*"))] == ["000002"]
    assert list((tmp_path / "replica/snapshots").glob(".download-*")) == []


def test_storage_down_and_no_copy(
    folders: SnapshotFolders, storage: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers popular items, is not ready at first, then is and says why, and loads by itself later."""
    storage.forwarder.go_down()
    with replica(folders, tmp_path) as client:
        assert client.get(LIST).json()["strategy"] == "popular"
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert "snapshot 2 is being fetched" in answer.json()["detail"]
        wait_until(lambda: n_fetches(client, "failed") > 0)
        assert client.get("/readyz").status_code == 503
        monkeypatch.setattr("app.serving.serving_state.AWAITED_SECONDS", 0.0)
        wait_until(lambda: bool(ready(client)))
        (warning,) = ready(client)["warnings"]
        assert "the live snapshot 2 cannot be fetched, so popular items are listed" in warning["reason"]
        assert "it does not answer" in warning["reason"]
        assert "tries again by itself" in warning["advice"]
        storage.forwarder.come_up()
        wait_until(lambda: version_of(client) == 2)
        assert ready(client)["warnings"] == []


def test_storage_down_and_an_older_copy(folders: SnapshotFolders, storage: S3Server, tmp_path: Path) -> None:
    local_copy(folders, tmp_path, 1)
    storage.forwarder.go_down()
    with replica(folders, tmp_path) as client:
        wait_until(lambda: bool(ready(client)))
        assert version_of(client) == 1
        assert "so snapshot 1 serves" in ready(client)["warnings"][0]["reason"]
        storage.forwarder.come_up()
        wait_until(lambda: version_of(client) == 2)


def test_storage_down_and_a_copy(folders: SnapshotFolders, storage: S3Server, tmp_path: Path) -> None:
    """It is served from the start, and the storage is not asked for anything."""
    local_copy(folders, tmp_path, 2)
    storage.forwarder.go_down()
    with replica(folders, tmp_path) as client:
        assert ready(client)["snapshot_version"] == 2
        assert n_fetches(client, "failed") == 0


def test_storage_goes_down_while_serving(folders: SnapshotFolders, storage: S3Server, tmp_path: Path) -> None:
    with opened(folders.data_dir) as store:
        store.snapshots.activate(1)
        with replica(folders, tmp_path) as client:
            wait_until(lambda: version_of(client) == 1)
            storage.forwarder.go_down()
            store.snapshots.activate(2)
            wait_until(lambda: n_fetches(client, "failed") > 0)
            assert version_of(client) == 1
            assert ready(client)["status"] == "ready"
            assert "snapshot 1 serves" in ready(client)["warnings"][0]["reason"]
            storage.forwarder.come_up()
            wait_until(lambda: version_of(client) == 2)


def test_swapped_object(folders: SnapshotFolders, storage: S3Server, prefix: str, tmp_path: Path) -> None:
    """It is refused by its digest; what is served stays, and a run is requested."""
    with opened(folders.data_dir) as store:
        store.snapshots.activate(1)
        with replica(folders, tmp_path) as client:
            wait_until(lambda: version_of(client) == 1)
            key = f"{prefix}/snapshots/000002/item_vectors.npy"
            good = storage.read(key)
            storage.write(key, bytes(len(good)))
            store.snapshots.activate(2)
            wait_until(lambda: n_fetches(client, "damaged") > 0)
            wait_until(lambda: [job.trigger for job in store.jobs.latest(limit=1)] == ["damaged snapshot"])
            assert version_of(client) == 1
            assert "is not what was published" in ready(client)["warnings"][0]["reason"]
            assert not (tmp_path / "replica/snapshots/000002").exists()


def test_cut_object_and_no_copy(folders: SnapshotFolders, storage: S3Server, prefix: str, tmp_path: Path) -> None:
    """The newest other one is fetched instead."""
    key = f"{prefix}/snapshots/000002/items.faiss"
    storage.write(key, storage.read(key)[:-1])
    with replica(folders, tmp_path) as client:
        wait_until(lambda: version_of(client) == 1)
        wait_until(lambda: bool(ready(client)))
        assert "so snapshot 1 serves" in ready(client)["warnings"][0]["reason"]


def test_damaged_copy_is_fetched_again(folders: SnapshotFolders, tmp_path: Path) -> None:
    vectors = local_copy(folders, tmp_path, 2) / "item_vectors.npy"
    good = vectors.read_bytes()
    vectors.write_bytes(good[:-4] + b"\0\0\0\0")
    with replica(folders, tmp_path) as client:
        wait_until(lambda: version_of(client) == 2)
        assert ready(client)["warnings"] == []
    assert vectors.read_bytes() == good
    with opened(folders.data_dir) as store:
        assert [job.trigger for job in store.jobs.latest(limit=1)] == ["request"]  # no run was requested for it


def test_copies_that_are_not_registered_are_removed(folders: SnapshotFolders, tmp_path: Path) -> None:
    """Those of a replica that was off as well; not while a run on the same machine is about to register one."""
    local_copy(folders, tmp_path, 1)
    unregistered = shutil.copytree(folders.data_dir / "snapshots/000001", tmp_path / "replica/snapshots/000007")
    with replica(folders, tmp_path) as client, opened(folders.data_dir) as store:
        assert not unregistered.exists()
        wait_until(lambda: version_of(client) == 2)
        replicas = SnapshotFolders(tmp_path / "replica", folders.bucket)
        with replicas.publishing(store.instance.database_id):
            about_to = shutil.copytree(folders.data_dir / "snapshots/000001", tmp_path / "replica/snapshots/000008")
            store.snapshots.forget(1)
            assert not replicas.remove_unregistered(store.snapshots.versions)
            assert about_to.exists()
            assert (tmp_path / "replica/snapshots/000001").exists()
        wait_until(lambda: not (tmp_path / "replica/snapshots/000001").exists())
        wait_until(lambda: not about_to.exists())


def test_rollback_by_a_replica_that_lacks_it(folders: SnapshotFolders, storage: S3Server, tmp_path: Path) -> None:
    with replica(folders, tmp_path) as client:
        wait_until(lambda: version_of(client) == 2)
        listed = client.get("/snapshots").json()["snapshots"]
        assert [(each["version"], each["problem"]) for each in listed] == [(2, None), (1, None)]
        storage.forwarder.go_down()
        answer = client.post("/snapshots/1/activate")
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (503, "object-storage")
        storage.forwarder.come_up()
        assert client.post("/snapshots/1/activate").status_code == 200
        wait_until(lambda: version_of(client) == 1)


def test_two_processes_share_a_download(folders: SnapshotFolders, tmp_path: Path) -> None:
    with replica(folders, tmp_path) as first, replica(folders, tmp_path) as second:
        wait_until(lambda: version_of(first) == version_of(second) == 2)
        assert n_fetches(first, "failed") + n_fetches(second, "failed") == 0
