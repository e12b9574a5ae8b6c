"""What holds for every path: problems, unknown parameters, documentation, probes, metrics."""

import asyncio
import hashlib
import threading
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient

import app.api.docs
from app.api import health
from app.errors import StorageUnavailableError, UnavailableError
from app.main import create_app
from app.observability.logs import configure_logs
from app.settings import Settings
from app.store.jobs import Jobs
from tests.support.keys import GuardedApp, bearer
from tests.support.live_app import serving
from tests.support.published import opened_shop
from tests.support.ratings import incoming
from tests.support.service import wait_until

PROBLEM = "application/problem+json"


def test_probes_without_snapshot(client: TestClient) -> None:
    assert client.get("/livez").json() == {"status": "ok"}
    ready = client.get("/readyz").json()
    assert (ready["status"], ready["snapshot_version"], ready["warnings"]) == ("ready", None, [])
    assert (ready["fallback_reason"], ready["fallback_advice"]) == (None, None)


def test_liveness_without_a_service(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe reaches neither the database nor anything else that may wait for it, whatever key comes with it."""
    monkeypatch.setattr(client.app.state, "service", None)  # type: ignore[attr-defined]  # of our application
    for headers in ({}, {"authorization": "Bearer nonsense"}):
        assert client.get("/livez", headers=headers).status_code == 200
    assert client.get("/readyz").status_code == 500


def test_nothing_can_be_answered(client: TestClient) -> None:
    """The database fails before anything is known: a balancer is to ask another process."""
    availability = client.app.state.service.store.availability  # type: ignore[attr-defined]  # of our application
    availability._probe = lambda: (_ for _ in ()).throw(StorageUnavailableError("silent"))
    availability.failed(StorageUnavailableError("silent"))
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["type"]) == (503, "urn:reckon:problem:unavailable")
    assert ready.headers["retry-after"] == "1"
    assert client.get("/livez").status_code == 200


def test_slow_warnings(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is slow for the warnings holds up neither the probe nor the metrics for longer than their limits.

    Both go on where the threads of charts and of refreshed catalogues all wait.
    """
    app = client.app
    assert isinstance(app, FastAPI)
    is_over = threading.Event()
    busy = [app.state.readiness_thread._pool.submit(is_over.wait), app.state.metrics_thread._pool.submit(is_over.wait)]
    with monkeypatch.context() as limits:
        limits.setattr(health, "WARNINGS_SECONDS", 0.01)
        limits.setattr(health, "METRICS_SECONDS", 0.01)
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert "too slow" in ready.json()["warnings"][0]["reason"]
        assert client.get("/metrics").status_code == 503
    is_over.set()
    assert all(each.result() for each in busy)
    assert client.portal is not None
    pool = client.portal.call(_busy_default_pool)
    try:
        assert client.get("/readyz").json()["warnings"] == []
        assert client.get("/metrics").status_code == 200
    finally:
        pool.set()


async def _busy_default_pool() -> threading.Event:
    """Keep all threads of `asyncio.to_thread` busy until the event is set."""
    is_over = threading.Event()
    for _ in range(64):
        asyncio.get_running_loop().run_in_executor(None, is_over.wait)
    return is_over


def test_warnings_that_cannot_be_read(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Jobs, "rejections", lambda _: (_ for _ in ()).throw(UnavailableError("busy")))
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["warnings"][0]["reason"].endswith(": busy")


def test_warnings_of_operators_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others cost no read of jobs and erasures."""
    guarded = GuardedApp(Settings(data_dir=tmp_path))
    admin = bearer(guarded.key("admin"))
    monkeypatch.setattr(Jobs, "rejections", lambda _: (_ for _ in ()).throw(UnavailableError("busy")))
    assert len(guarded.client.get("/readyz", headers=admin).json()["warnings"]) == 1
    n_asked: list[None] = []
    monkeypatch.setattr(Jobs, "rejections", lambda _: n_asked.append(None))
    assert guarded.client.get("/readyz").json() == {"status": "ready"}
    guarded.close()
    assert n_asked == []


def test_fallback_is_seen(tmp_path: Path) -> None:
    with opened_shop(tmp_path, incoming(("ann", "tea", 4))) as shop:
        manifest = shop.train().manifest
    with TestClient(create_app(Settings(database_url="", data_dir=tmp_path))) as client:
        ready = client.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["fallback_reason"] == manifest.reason
        assert ready.json()["fallback_advice"] == manifest.advice
        assert "\nreckon_snapshot_is_fallback 1.0\n" in client.get("/metrics").text


@pytest.mark.parametrize("path", ["/nope", "/items/a%2Fb", "/users/x/ratings/y/z"])
def test_unknown_path(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)


def test_wrong_method(client: TestClient) -> None:
    answer = client.post("/items/x")
    assert (answer.status_code, answer.headers["content-type"]) == (405, PROBLEM)
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH, PUT"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/docs", "GET, HEAD"),
        ("DELETE", "/openapi.json", "GET, HEAD"),
        ("PUT", "/static/swagger/swagger-ui.css", "GET, HEAD"),
        ("POST", "/static/nothing", "GET, HEAD"),
        ("OPTIONS", "/livez", "GET, HEAD"),
        ("BREW", "/users/ann/recommendations", "GET, HEAD"),
        ("GET", "/predictions", "POST"),
        ("HEAD", "/predictions", "POST"),
        ("OPTIONS", "/items/batch", "DELETE, GET, HEAD, PATCH, POST, PUT"),
    ],
)
def test_wrong_method_anywhere(client: TestClient, method: str, path: str, allowed: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["content-type"]) == (405, PROBLEM)
    assert answer.headers["allow"] == allowed


def test_head_wherever_get(trained: TestClient) -> None:
    """The status and headers of the GET: of every operation of the OpenAPI document, and of what is not in it."""
    document = trained.get("/openapi.json").json()
    assert not any("head" in operations for operations in document["paths"].values())
    templates = [path for path, operations in document["paths"].items() if "get" in operations]
    names = {
        "user_id": "user-0",
        "item_id": "item-1",
        "chart": "popular",
        "name": "home",
        "version": "1",
        "job_id": "x",
        "import_id": "x",
        "erasure_id": "x",
    }
    paths = [template.format(**names) for template in templates]
    for path in [*paths, "/docs", "/openapi.json", "/static/swagger/swagger-ui.css", "/nope", "/items?limit=0"]:
        get, head = trained.get(path), trained.head(path)
        assert (head.status_code, head.content) == (get.status_code, b""), path
        # Metrics count these requests too.
        varying = {"x-request-id"} | ({"content-length"} if path == "/metrics" else set())
        assert {name: value for name, value in head.headers.items() if name not in varying} == {
            name: value for name, value in get.headers.items() if name not in varying
        }, path
    assert 'method="HEAD",path="/livez",status="200"' in trained.get("/metrics").text


def test_head_over_a_socket(settings: Settings) -> None:
    """A server refuses a body that is shorter than declared: it has to know that there is none."""
    with serving(create_app(settings)) as address, httpx.Client(base_url=address) as connection:
        for path in (
            "/livez",
            "/readyz",
            "/docs",
            "/static/swagger/swagger-ui-bundle.js",
            "/users/ann/recommendations",
        ):
            head = connection.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["content-length"]) == len(connection.get(path).content)


@pytest.mark.parametrize(
    "path",
    [
        "/livez?a=1",
        "/items?Q=x",
        "/users/ann?full=1",
        "/snapshots?n=1",
        "/users/ann/recommendations?limt=5",
        "/items/x/similar?n=5",
    ],
)
def test_unknown_parameter(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM)
    assert answer.json()["field"].startswith("query.")


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1000000000", "1.5", "x", ""])
def test_bad_limit(client: TestClient, limit: str) -> None:
    answer = client.get("/users/ann/recommendations", params={"limit": limit})
    assert (answer.status_code, answer.json()["field"]) == (422, "query.limit")


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "\u00e9", "A" * 5_000])
def test_forged_cursor(client: TestClient, cursor: str) -> None:
    answer = client.get("/users/ann/recommendations", params={"cursor": cursor})
    assert (answer.status_code, answer.json()["field"]) == (422, "cursor")


def test_too_many_excluded(client: TestClient) -> None:
    answer = client.get("/users/ann/recommendations", params={"exclude": ["x"] * 1_001})
    assert answer.status_code == 422


def test_nothing_at_all(client: TestClient) -> None:
    answer = client.get("/users/nobody/recommendations")
    assert answer.status_code == 200
    assert (answer.json()["strategy"], answer.json()["items"]) == ("popular", [])
    assert client.get("/items/x/similar").status_code == 404


def test_popular_before_learning(client: TestClient) -> None:
    rows = [{"user_id": f"u{n}", "item_id": item, "value": 3} for item, k in (("a", 1), ("b", 3)) for n in range(k)]
    client.post("/ratings/batch", json={"ratings": rows})
    answer = client.get("/users/nobody/recommendations").json()
    assert {item["item_id"] for item in answer["items"]} == {"a", "b"}
    assert client.get("/users/u0/recommendations").json()["items"] == []
    assert [item["item_id"] for item in client.get("/users/u2/recommendations").json()["items"]] == ["a"]


def test_popularity_is_counted_anew(client: TestClient) -> None:
    """An answer that only popularity decides is not kept beyond the next count."""
    client.post(
        "/ratings/batch", json={"ratings": [{"user_id": f"u{n}", "item_id": "a", "value": 5} for n in range(2)]}
    )
    client.put("/items/b", json={"title": "B"})

    def first() -> str:
        items = client.get("/users/nobody/recommendations").json()["items"]
        return str(items[0]["item_id"]) if items else ""

    wait_until(lambda: first() == "a")
    client.post(
        "/ratings/batch", json={"ratings": [{"user_id": f"u{n}", "item_id": "b", "value": 5} for n in range(5)]}
    )
    wait_until(lambda: first() == "b")


def test_training_jobs(client: TestClient) -> None:
    made = client.post("/training-jobs", json={"seed": 5})
    assert (made.status_code, made.json()["state"], made.json()["seed"]) == (202, "queued", 5)
    assert client.post("/training-jobs", json={"seed": 5}).json()["job_id"] == made.json()["job_id"]
    assert client.get(f"/training-jobs/{made.json()['job_id']}").json() == made.json()
    assert client.get("/training-jobs/nope").status_code == 404
    accepting = client.post("/training-jobs", json={"seed": 5, "accept": True}).json()
    assert (accepting["accept"], made.json()["accept"]) == (True, False)
    assert accepting["job_id"] != made.json()["job_id"]
    assert client.post("/training-jobs", json={"accept": "yes"}).json()["field"] == "body.accept"
    assert client.post("/training-jobs", json={"seed": 2**63}).status_code == 422
    assert client.post("/training-jobs", headers={"content-type": "application/json"}).status_code == 202


@pytest.mark.parametrize(
    ("version", "status"), [("9", 404), ("latest", 404), ("0", 422), ("x", 422), (str(2**63), 422)]
)
def test_activate_missing(client: TestClient, version: str, status: int) -> None:
    assert client.get("/snapshots").json() == {"snapshots": []}
    assert client.post(f"/snapshots/{version}/activate").status_code == status


def test_metrics_have_templates(client: TestClient) -> None:
    client.get("/users/secret-name/recommendations")
    text = client.get("/metrics").text
    assert 'reckon_requests_total{method="GET",path="/users/{user_id}/recommendations",status="200"} 1.0' in text
    assert 'reckon_recommendations_total{strategy="popular",user="unknown"} 1.0' in text
    assert "secret-name" not in text


def test_database_defect_tells_nothing(
    client: TestClient, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the answer nor the log holds statement or values."""
    configure_logs("json")
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:  # a rule of the database that no operation expects
        if database_url.startswith("sqlite"):
            statement = "CREATE TRIGGER no_user BEFORE INSERT ON users BEGIN SELECT RAISE(ABORT, 'refused'); END"
        else:
            statement = "ALTER TABLE users ADD CONSTRAINT no_user CHECK (user_id = '')"
        connection.exec_driver_sql(statement)
    engine.dispose()
    path, body = "/users/secret-name", {"country": "secret-country"}  # not on a line that the traceback quotes
    answer = client.put(path, json=body)
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:reckon:problem:internal-error")
    logged = capsys.readouterr().err
    assert "UnexpectedDatabaseError: " in logged
    for text in (answer.text, logged):
        assert "secret" not in text
        assert "INSERT INTO" not in text


def test_docs_work_offline(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "https://" not in page
    assert client.get("/static/swagger/swagger-ui-bundle.js").status_code == 200


def test_vendored_files() -> None:
    folder = Path(app.api.docs.__file__).parent / "static" / "swagger"
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_openapi_is_complete(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            errors = {status for status in operation["responses"] if status >= "400"}
            assert "422" in errors, (method, path)
            for status in errors:
                assert set(operation["responses"][status]["content"]) == {PROBLEM}, (method, path, status)
