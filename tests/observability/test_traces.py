"""Spans from a request to its queries, and of a training run; none while they are off."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.errors import InvalidInputError
from app.main import create_app
from app.observability.traces import NO_SPAN, configure_traces, inner_span, is_tracing, span, stop_tracing
from app.settings import Settings

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def traced(spans: InMemorySpanExporter, trained_url: str, tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(database_url=trained_url, data_dir=tmp_path, snapshot_poll_seconds=3_600)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        spans.clear()
        yield client


def attributes_of(made: ReadableSpan) -> dict[str, object]:
    return dict(made.attributes or {})


def names_below(spans: InMemorySpanExporter, parent: ReadableSpan) -> set[str]:
    """Names of the spans in the block of `parent`, at any depth."""
    below, found = {parent.context.span_id}, set()
    for _ in range(5):
        for each in spans.get_finished_spans():
            if each.parent is not None and each.parent.span_id in below:
                below.add(each.context.span_id)
                found.add(each.name)
    return found


def request_of(spans: InMemorySpanExporter) -> ReadableSpan:
    (request,) = [each for each in spans.get_finished_spans() if "http.route" in attributes_of(each)]
    return request


def test_list(traced: TestClient, spans: InMemorySpanExporter) -> None:
    headers = {"x-request-id": "mine", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    assert traced.get("/users/secret-name/recommendations", headers=headers).status_code == 200
    request = request_of(spans)
    assert request.name == "GET /users/{user_id}/recommendations"
    assert attributes_of(request) == {
        "http.request.method": "GET",
        "http.route": "/users/{user_id}/recommendations",
        "http.response.status_code": 200,
        "reckon.request_id": "mine",
    }
    assert names_below(spans, request) >= {"request state", "user state", "retrieval", "ranking", "SELECT"}
    assert {f"{each.context.trace_id:x}" for each in spans.get_finished_spans()} == {TRACE}
    assert "secret-name" not in "".join(each.to_json() for each in spans.get_finished_spans())


def test_write(traced: TestClient, spans: InMemorySpanExporter) -> None:
    assert traced.put("/users/secret-name", json={"country": "secret-country"}).status_code == 201
    assert "database write" in names_below(spans, request_of(spans))
    spans.clear()
    assert traced.post("/ratings", json={"user_id": "secret-name", "item_id": "x", "value": 4}).status_code == 201
    assert "group commit" in names_below(spans, request_of(spans))
    assert "secret" not in "".join(each.to_json() for each in spans.get_finished_spans())


def test_defect(traced: TestClient, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(user_id: str) -> None:
        with span("step"):
            raise KeyError(user_id)

    monkeypatch.setattr(traced.app.state.service.store.users, "get", fail)  # type: ignore[attr-defined]
    traced.get("/users/secret-name")
    kinds = {each.name: attributes_of(each).get("error.type") for each in spans.get_finished_spans()}
    assert kinds == {"step": "KeyError", "GET /users/{user_id}": "internal-error"}
    assert "secret-name" not in "".join(each.to_json() for each in spans.get_finished_spans())


def test_polls_have_none(traced: TestClient, spans: InMemorySpanExporter) -> None:
    traced.app.state.service.serving.check_generation()  # type: ignore[attr-defined]
    with inner_span("poll"):
        pass
    assert spans.get_finished_spans() == ()


def test_off() -> None:
    assert span("retrieval") is inner_span("read") is NO_SPAN


@pytest.mark.parametrize(
    ("environment", "is_on"),
    [
        ({}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_environment(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], *, is_on: bool) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    try:
        configure_traces()
        assert is_tracing() == is_on
    finally:
        stop_tracing()


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_unknown_exporter(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInputError):
        configure_traces()
