"""Following the register of snapshots, whatever is published."""

import re
from pathlib import Path

from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.store import Store
from tests.support.forged import forge_index
from tests.support.service import wait_until
from tests.support.trained import train


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
    with TestClient(
        create_app(Settings(database_url=trained_url, data_dir=tmp_path, snapshot_poll_seconds=0.05))
    ) as api:
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
