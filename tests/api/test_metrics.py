"""What the metrics of a whole service say."""

import re

from fastapi.testclient import TestClient

from app.errors import StorageUnavailableError


def metric(client: TestClient, name: str, **labels: str) -> float | None:
    """None: there is no such series."""
    for line in client.get("/metrics").text.splitlines():
        found = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
        if found and dict(re.findall(r'(\w+)="([^"]*)"', found[1] or "")) == labels:
            return float(found[2])
    return None


def test_lists_by_strategy_and_user(trained: TestClient) -> None:
    user_id = trained.get("/users").json()["users"][0]["user_id"]
    for _ in range(2):  # made, and answered from memory
        trained.get(f"/users/{user_id}/recommendations")
    trained.get("/users/nobody/recommendations")
    trained.post("/recommendations", json={})
    assert metric(trained, "reckon_recommendations_total", strategy="personalized", user="known") == 2
    assert metric(trained, "reckon_recommendations_total", strategy="popular", user="unknown") == 2


def test_coverage(trained: TestClient) -> None:
    assert metric(trained, "reckon_catalogue_shown_items") == 0
    items = trained.get("/users/nobody/recommendations", params={"limit": 3}).json()["items"]
    trained.get("/users/someone/recommendations", params={"limit": 2})
    assert metric(trained, "reckon_catalogue_shown_items") == 3
    trained.patch(f"/items/{items[0]['item_id']}", json={"is_available": False})
    trained.get("/users/else/recommendations", params={"limit": 1})  # learns of the change
    assert metric(trained, "reckon_catalogue_shown_items") == 2


def test_errors_by_type(client: TestClient) -> None:
    client.get("/items", params={"limit": -1})
    client.get("/nowhere")
    client.post("/livez")
    client.get("/livez", headers={"host": "example.com"})
    for name in ("invalid-input", "not-found", "method-not-allowed", "host-not-allowed"):
        assert metric(client, "reckon_problems_total", type=name) == 1, name


def test_training(trained: TestClient) -> None:
    assert metric(trained, "reckon_training_jobs_total", outcome="passed") == 1
    assert metric(trained, "reckon_training_jobs_queued") == 0
    assert (metric(trained, "reckon_training_phase_seconds", phase="refitting") or -1) >= 0
    assert metric(trained, "reckon_training_last_run_seconds") is not None
    trained.post("/training-jobs", json={})
    assert metric(trained, "reckon_training_jobs_queued") == 1
    jobs = trained.app.state.service.store.jobs  # type: ignore[attr-defined]  # of our application
    claim = jobs.claim("worker", lease_seconds=30)
    jobs.heartbeat(claim, progress=0.25, stage="evaluating: als epoch 3 of 10")
    assert metric(trained, "reckon_training_running", phase="evaluating") == 1
    assert metric(trained, "reckon_training_progress_ratio") == 0.25
    assert 0 < (metric(trained, "reckon_training_lease_seconds") or 0) <= 30
    jobs.finish(claim, state="rejected", reason="worse")
    assert metric(trained, "reckon_training_jobs_total", outcome="rejected") == 1
    assert metric(trained, "reckon_training_running", phase="evaluating") is None


def test_machine(client: TestClient) -> None:
    free, size = metric(client, "reckon_disk_free_bytes"), metric(client, "reckon_disk_size_bytes")
    assert 0 < (free or 0) <= (size or 0)


def test_database_down(trained: TestClient) -> None:
    availability = trained.app.state.service.store.availability  # type: ignore[attr-defined]  # of our application
    assert metric(trained, "reckon_database_up") == 1
    availability._probe = lambda: (_ for _ in ()).throw(StorageUnavailableError("silent"))
    availability.failed(StorageUnavailableError("silent"))
    assert trained.get("/users/nobody/recommendations").json()["degraded"] is True
    assert metric(trained, "reckon_database_up") == 0
    assert metric(trained, "reckon_degraded_requests_total") == 1
    assert metric(trained, "reckon_training_jobs_queued") is None
