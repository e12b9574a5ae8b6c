"""The file of the SQLite database is removed or replaced under a service, which notices before it acknowledges more."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.main import create_app
from app.settings import Settings
from app.store.sqlite_files import DAMAGED
from tests.support.service import wait_until

EVENT = {"event_id": "1", "type": "clicked", "user_id": "user-0", "item_id": "item-3"}
WRITES: dict[str, Any] = {
    "POST /ratings": {"user_id": "user-0", "item_id": "item-1", "value": 3},
    "POST /ratings/batch": {"ratings": [{"user_id": "user-0", "item_id": "item-2", "value": 3}]},
    "POST /events": {"events": [EVENT]},
    "PUT /items/item-1": {"title": "New"},
    "DELETE /users/user-5": None,
    "POST /training-jobs": {},
}


@pytest.fixture(params=["sqlite"])
def trained_url(trained_url: str) -> str:
    """A server keeps its files itself."""
    return trained_url


@pytest.fixture
def api(trained_url: str, tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(database_url=trained_url, data_dir=tmp_path, snapshot_poll_seconds=0.05)
    with TestClient(create_app(settings)) as opened:
        yield opened


def write(api: TestClient, operation: str) -> httpx2.Response:
    method, path = operation.split(" ")
    answer: httpx2.Response = api.request(method, path, json=WRITES[operation])
    return answer


def outage(api: TestClient) -> list[str]:
    """The reasons why the service is degraded."""
    ready = api.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["status"] == ("degraded" if ready.json()["degraded"] else "ready")
    return [part["reason"] for part in ready.json()["degraded"]]


@pytest.mark.parametrize("operation", WRITES)
def test_first_write(api: TestClient, tmp_path: Path, operation: str) -> None:
    """The first one after the removal is refused already, whether a poll has noticed it or not."""
    api.get("/users/user-0/recommendations")
    (tmp_path / "reckon.db").unlink()
    refused = write(api, operation)
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:reckon:problem:database-replaced")
    assert "reckon restore" in refused.json()["detail"]
    assert refused.headers["retry-after"] == "1"


def test_removed(api: TestClient, tmp_path: Path) -> None:
    """One outage from the removal to the return of the file, although the open file can still be read."""
    file = tmp_path / "reckon.db"
    os.link(file, tmp_path / "aside.db")
    with capture_logs() as logged:
        file.unlink()
        wait_until(lambda: outage(api) != [])
        for operation in WRITES:
            assert write(api, operation).status_code == 503, operation
            (reason,) = outage(api)
            assert "reckon restore" in reason
            listed = api.get("/users/user-0/recommendations")
            assert (listed.status_code, listed.json()["degraded"]) == (200, True)
            assert (listed.headers["cache-control"], "etag" in listed.headers) == ("no-store", False)
        assert not file.exists()
        (tmp_path / "aside.db").rename(file)
        wait_until(lambda: outage(api) == [])
    told = [entry["event"] for entry in logged if entry["event"].startswith("database ")]
    assert told == ["database is down", "database answers again"]
    wait_until(lambda: write(api, "POST /ratings").status_code == 201)
    assert "degraded" not in api.get("/users/user-0/recommendations").json()


def test_damaged_one_in_its_place(api: TestClient, tmp_path: Path) -> None:
    """What is said of the outage follows what is found out."""
    file, damaged = tmp_path / "reckon.db", tmp_path / "damaged.db"
    sound = file.read_bytes()
    damaged.write_bytes(sound[: len(sound) // 2] + b"\xa5" * (len(sound) - len(sound) // 2))
    damaged.replace(file)

    def is_found_damaged() -> bool:
        refused = write(api, "POST /ratings")
        assert refused.status_code == 503
        return bool(refused.json()["type"] == "urn:reckon:problem:database-damaged") and outage(api) == [DAMAGED]

    wait_until(is_found_damaged)  # at first it may still be being copied
    copy = tmp_path / "copy.db"
    copy.write_bytes(sound)
    copy.replace(file)
    wait_until(lambda: outage(api) == [])
    wait_until(lambda: write(api, "POST /ratings").status_code == 201)  # one may still find the file before
