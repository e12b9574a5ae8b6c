"""Every answer has the id of its request, and so has what the log says of it."""

import io
import json
from contextlib import redirect_stderr
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.intake.json_limits import MAX_BODY_BYTES
from app.main import create_app
from app.observability.logs import configure_logs
from app.settings import Settings

PREFLIGHT = {"origin": "https://shop.example", "access-control-request-method": "GET"}
JSON = {"content-type": "application/json"}
ANSWERS: list[tuple[int, str, str, dict[str, Any]]] = [
    (200, "GET", "/livez", {}),
    (200, "HEAD", "/livez", {}),
    (200, "GET", "/docs", {}),
    (200, "GET", "/static/swagger/swagger-ui.css", {}),
    (200, "OPTIONS", "/items", {"headers": PREFLIGHT}),
    (404, "GET", "/nowhere", {}),
    (404, "GET", "/users/nobody", {}),
    (405, "DELETE", "/livez", {}),
    (413, "POST", "/ratings", {"content": b" " * (MAX_BODY_BYTES + 1), "headers": JSON}),
    (415, "POST", "/ratings", {"content": b"{}", "headers": {"content-type": "text/plain"}}),
    (421, "GET", "/livez", {"headers": {"host": "evil.example"}}),
    (422, "GET", "/items?limit=-1", {}),
    (503, "GET", "/items", {}),
    (500, "GET", "/users/nobody", {}),
]


@pytest.fixture(scope="module")
def service(databases: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("ids")
    with databases.fresh("sqlite", folder) as url:
        settings = Settings(database_url=url, data_dir=folder, cors_origins="https://shop.example")
        with TestClient(create_app(settings), raise_server_exceptions=False) as client:
            yield client


@pytest.mark.parametrize(("status", "method", "path", "options"), ANSWERS)
def test_every_answer_has_one(
    service: TestClient, monkeypatch: pytest.MonkeyPatch, status: int, method: str, path: str, options: dict[str, Any]
) -> None:
    if status == 500:
        monkeypatch.setattr(service.app.state.service.store.users, "get", None)  # type: ignore[attr-defined]
    if status == 503:
        monkeypatch.setattr("app.api.admission.MAX_TURN_SECONDS", -1.0)
        monkeypatch.setattr("app.api.admission.Admission._is_late", lambda *_: True)
    answer = service.request(method, path, **options)
    assert answer.status_code == status
    (request_id,) = answer.headers.get_list("x-request-id")
    assert len(request_id) == 16
    if status >= 400:
        assert answer.json()["request_id"] == request_id
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers.get("retry-after") == ("1" if status == 503 else None)


@pytest.mark.parametrize("sent", ["a", "0f6d2c3a-9b7e-4d51-8888-000000000000", "Trace_1.2", "x" * 64])
def test_callers_id_is_kept(service: TestClient, sent: str) -> None:
    answer = service.get("/nowhere", headers={"x-request-id": sent})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "two words", "x" * 65, "<script>", 'a"b', "-a", "é".encode("latin-1")])
def test_other_texts_are_replaced(service: TestClient, sent: str | bytes) -> None:
    headers = {b"x-request-id": sent if isinstance(sent, bytes) else sent.encode()}
    assert len(service.get("/livez", headers=headers).headers["x-request-id"]) == 16


def test_log_has_it(service: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(user_id: str) -> None:
        raise KeyError(user_id)  # the text of the exception is data of a user

    monkeypatch.setattr(service.app.state.service.store.users, "get", fail)  # type: ignore[attr-defined]
    written = io.StringIO()
    with redirect_stderr(written):
        configure_logs("json")
        service.get("/users/secret-name", headers={"x-request-id": "mine"})
        service.post("/training-jobs", json={}, headers={"x-request-id": "other"})
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert {line["request_id"] for line in lines if line["event"] in {"defect", "request failed"}} == {"mine"}
    assert [line["request_id"] for line in lines if line["event"] == "audit"] == ["other"]
    assert "KeyError" in written.getvalue()
    assert "secret-name" not in written.getvalue()
