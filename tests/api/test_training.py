"""Training jobs over the API."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.settings import Settings
from app.store import Store
from tests.support.keys import GuardedApp, bearer


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedApp]:
    opened = GuardedApp(Settings(data_dir=tmp_path))
    yield opened
    opened.close()


def test_cancels_queued(client: TestClient) -> None:
    job = client.post("/training-jobs", json={"seed": 3}).json()
    ended = client.post(f"/training-jobs/{job['job_id']}/cancel")
    assert (ended.status_code, ended.json()["state"]) == (200, "cancelled")
    assert ended.json()["reason"] == "cancelled by an operator"
    assert ended.json()["finished_at"] is not None
    assert client.post(f"/training-jobs/{job['job_id']}/cancel").json() == ended.json()
    assert client.get("/training-jobs/latest").json() == ended.json()
    assert client.post("/training-jobs", json={"seed": 3}).json()["job_id"] != job["job_id"]


def test_cancels_running(client: TestClient, store: Store) -> None:
    job = client.post("/training-jobs").json()
    claim = store.jobs.claim("a-worker", lease_seconds=60)
    assert claim is not None
    asked = client.post("/training-jobs/latest/cancel")
    assert (asked.status_code, asked.json()["state"], asked.json()["job_id"]) == (200, "running", job["job_id"])
    assert asked.json()["cancel_requested_at"] is not None
    store.jobs.release(claim)
    assert client.get(f"/training-jobs/{job['job_id']}").json()["state"] == "cancelled"


def test_ended_job(client: TestClient, store: Store) -> None:
    job = store.jobs.enqueue("request")
    claim = store.jobs.claim("a-worker", lease_seconds=60)
    assert claim is not None
    store.jobs.finish(claim, state="failed", reason="no room")
    answer = client.post(f"/training-jobs/{job.job_id}/cancel")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:reckon:problem:job-ended")
    assert store.jobs.get(job.job_id).reason == "no room"


@pytest.mark.parametrize("job_id", ["nope", "latest"])
def test_unknown_job(client: TestClient, job_id: str) -> None:
    assert client.post(f"/training-jobs/{job_id}/cancel").status_code == 404


def test_cancellation_is_audited(guarded: GuardedApp) -> None:
    operator, reader = guarded.key("training"), guarded.key("console")
    job = guarded.client.post("/training-jobs", headers=bearer(operator)).json()
    assert guarded.client.post("/training-jobs/latest/cancel", headers=bearer(reader)).status_code == 403
    assert guarded.client.post("/training-jobs/latest/cancel", headers=bearer(operator)).status_code == 200
    entries = [entry for entry in guarded.store.audit.entries(10) if entry.action == "training.cancel"]
    assert [(entry.actor, entry.target, entry.outcome) for entry in entries] == [
        (operator[3:15], job["job_id"], "succeeded"),
        (reader[3:15], "latest", "missing-scope"),
    ]
