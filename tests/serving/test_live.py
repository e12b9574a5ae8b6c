"""Following the register of snapshots, whatever is published."""

import re
import shutil
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.main import create_app
from app.settings import Settings
from app.snapshots.read import manifest_digest
from app.store import Store
from app.store.schema import snapshots
from app.wiring import Service
from tests.support.forged import forge_index, forge_manifest
from tests.support.service import wait_until
from tests.support.statements import Statements
from tests.support.trained import train

pytestmark = pytest.mark.slow


def app_of(url: str, data_dir: Path) -> FastAPI:
    return create_app(Settings(database_url=url, data_dir=data_dir, snapshot_poll_seconds=0.05))


def n_failures(client: TestClient) -> float:
    found = re.search(r"^reckon_snapshot_poll_failures_total (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def snapshot_version(client: TestClient) -> int | None:
    version: int | None = client.get("/readyz").json()["snapshot_version"]
    return version


def test_forged_snapshot_is_survived(trained_url: str, tmp_path: Path) -> None:
    """Its checksums are right and a search of its index raises no error of ours; the next snapshot is served."""
    store = Store.open(trained_url, tmp_path)
    (first,) = store.snapshots.entries()
    forge_index(tmp_path / first.path)
    with store.database.writing() as connection:  # as an earlier release registered it
        connection.execute(sa.update(snapshots).values(digest=None))
    with TestClient(app_of(trained_url, tmp_path)) as api:
        assert snapshot_version(api) is None
        assert n_failures(api) == 1
        assert api.get("/users/user-0/recommendations").json()["strategy"] == "popular"
        second = train(store, tmp_path)
        wait_until(lambda: snapshot_version(api) == second)
        store.snapshots.activate(first.version)
        wait_until(lambda: n_failures(api) == 2)  # in the thread now
        assert snapshot_version(api) == second
        third = train(store, tmp_path, seed=1)
        store.snapshots.activate(third)
        wait_until(lambda: snapshot_version(api) == third)
    store.close()


def test_popularity_is_not_counted(trained_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that finds a snapshot scans no ratings when it starts: a tenant is opened while a request waits."""
    statements = Statements(monkeypatch)
    with statements.of_thread(threading.get_ident()):
        service = Service.build(Settings(database_url=trained_url, data_dir=tmp_path))
    service.store.close()
    sent = [*statements.through_engine, *statements.through_driver]
    assert any("snapshots" in each for each in sent)
    assert [each for each in sent if "FROM ratings" in each] == []


def published_again(store: Store, data_dir: Path) -> Path:
    """The first snapshot once more, as the next version, which takes no training; its folder."""
    first = store.snapshots.entries()[-1]
    version = store.snapshots.next_version()
    folder = data_dir / "snapshots" / f"{version:06d}"
    shutil.copytree(data_dir / first.path, folder)
    forge_manifest(folder, lambda document: document.update(version=version))
    store.jobs.enqueue("request")
    claim = store.jobs.claim("a-worker", lease_seconds=60)
    assert claim is not None
    path, digest = str(folder.relative_to(data_dir)), manifest_digest(folder)
    store.snapshots.register(claim, version=version, path=path, card=first.card, digest=digest)
    return folder


def test_newest_good_one_serves(trained_url: str, tmp_path: Path) -> None:
    """The live snapshot is damaged when a process starts, which serves another, says so, and requests a run."""
    with closing(Store.open(trained_url, tmp_path)) as store:
        (first,) = store.snapshots.entries()
        for _ in range(2):
            (published_again(store, tmp_path) / "item_keys.npy").write_bytes(b"")
        with capture_logs() as logged:
            Service.build(Settings(database_url=trained_url, data_dir=tmp_path)).store.close()
        assert {"snapshot", "another snapshot serves"} <= {entry["event"] for entry in logged}
        with TestClient(app_of(trained_url, tmp_path)) as api:
            assert snapshot_version(api) == first.version
            assert api.get("/users/user-0/recommendations").json()["strategy"] == "personalized"
            (warning,) = api.get("/readyz").json()["warnings"]
            assert "item_keys.npy" in warning["reason"]
            assert f"snapshot {first.version} serves" in warning["reason"]
            assert "\nreckon_snapshot_is_substitute 1.0\n" in api.get("/metrics").text
            listed = api.get("/snapshots").json()["snapshots"]
            assert [each["problem"] is None for each in listed] == [False, False, True]
            assert [job.trigger for job in store.jobs.latest() if job.state == "queued"] == ["damaged snapshot"]
            repaired = published_again(store, tmp_path)
            wait_until(lambda: snapshot_version(api) == int(repaired.name))
            assert api.get("/readyz").json()["warnings"] == []
            assert "\nreckon_snapshot_is_substitute 0.0\n" in api.get("/metrics").text


def test_folder_of_all_is_lost(trained_url: str, tmp_path: Path) -> None:
    """A new container with the old database: popular items serve until a run, which is requested once, publishes."""
    with closing(Store.open(trained_url, tmp_path)) as store:
        (first,) = store.snapshots.entries()
        kept = shutil.copytree(tmp_path / first.path, tmp_path / "kept")
        shutil.rmtree(tmp_path / "snapshots")
        for _ in range(2):  # a restart requests no second run
            with capture_logs() as logged:
                Service.build(Settings(database_url=trained_url, data_dir=tmp_path)).store.close()
            assert [entry["outcome"] for entry in logged if entry["event"] == "snapshot"] == ["damaged"]
        with TestClient(app_of(trained_url, tmp_path)) as api:
            assert api.get("/users/user-0/recommendations").json()["strategy"] == "popular"
            (warning,) = api.get("/readyz").json()["warnings"]
            assert "popular items are listed" in warning["reason"]
            assert [job.trigger for job in store.jobs.latest() if job.state == "queued"] == ["damaged snapshot"]
            shutil.copytree(kept, tmp_path / first.path)
            again = published_again(store, tmp_path)
            shutil.rmtree(tmp_path / first.path)
            wait_until(lambda: snapshot_version(api) == int(again.name))
            assert api.get("/users/user-0/recommendations").json()["strategy"] == "personalized"


def test_no_run_beside_a_newer_one(trained_url: str, tmp_path: Path) -> None:
    """A pinned snapshot is lost. What was published since serves in its place, so that nothing need be learned."""
    with closing(Store.open(trained_url, tmp_path)) as store:
        (first,) = store.snapshots.entries()
        store.snapshots.activate(first.version)
        second = published_again(store, tmp_path)
        (tmp_path / first.path / "manifest.json").unlink()
        with TestClient(app_of(trained_url, tmp_path)) as api:
            assert snapshot_version(api) == int(second.name)
            assert all(job.state == "succeeded" for job in store.jobs.latest())


@pytest.mark.parametrize("is_missing", [False, True], ids=["damaged", "missing"])
def test_activation_is_refused(trained_url: str, tmp_path: Path, *, is_missing: bool) -> None:
    """Of a snapshot that cannot be served; what is live stays, after a restart as well."""
    with closing(Store.open(trained_url, tmp_path)) as store:
        (first,) = store.snapshots.entries()
        damaged = published_again(store, tmp_path)
        store.snapshots.activate(first.version)
        content = bytearray((damaged / "item_keys.npy").read_bytes())
        content[-1] ^= 1
        (damaged / "item_keys.npy").unlink()
        (damaged / "item_keys.npy").write_bytes(content)
        if is_missing:
            shutil.rmtree(damaged)
        for _ in range(2):
            with TestClient(app_of(trained_url, tmp_path)) as api:
                for version in (int(damaged.name), "latest"):
                    refused = api.post(f"/snapshots/{version}/activate")
                    assert (refused.status_code, refused.json()["type"]) == (
                        409,
                        "urn:reckon:problem:activation-refused",
                    )
                    assert ("manifest.json" if is_missing else "item_keys.npy") in refused.json()["detail"]
                assert snapshot_version(api) == first.version
                assert [each["is_live"] for each in api.get("/snapshots").json()["snapshots"]] == [False, True]
                assert api.post(f"/snapshots/{first.version}/activate").status_code == 200
