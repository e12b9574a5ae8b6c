"""Spans of statements that fail: they end, and name the kind of the error alone."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.errors import UnavailableError
from app.observability.traces import span
from app.store.database import open_database
from app.store.dialect import UnexpectedDatabaseError
from tests.store.test_database import BAD_JOB


def kinds(spans: InMemorySpanExporter) -> dict[str, object]:
    """The kind of the error of each span, None where it has none, by the name of the span."""
    return {each.name: (each.attributes or {}).get("error.type") for each in spans.get_finished_spans()}


def test_failed_statement(database_url: str, tmp_path: Path, spans: InMemorySpanExporter) -> None:
    database = open_database(database_url, tmp_path)
    with (  # noqa: PT012  the second statement fails
        pytest.raises(UnexpectedDatabaseError),
        span("request"),
        database.reading() as connection,
    ):
        connection.execute(sa.text("SELECT 1"))
        connection.execute(BAD_JOB, {"job_id": "secret"})
    found = kinds(spans)
    assert found["SELECT"] is None
    assert found["INSERT"] in {"IntegrityError", "CheckViolation"}
    assert "secret" not in "".join(each.to_json() for each in spans.get_finished_spans())
    with span("after"), database.reading() as connection:
        connection.execute(sa.text("SELECT 1"))
    (after,) = [each for each in spans.get_finished_spans() if each.name == "after"]
    assert after.parent is None  # none of those that failed is still open
    database.close()


def test_no_connection(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    """There is no statement yet whose span could end."""
    (tmp_path / "reckon.db").mkdir()
    database = open_database("", tmp_path)
    with pytest.raises(UnavailableError), span("request"), database.reading():
        pass
    assert kinds(spans) == {"request": "StorageUnavailableError", "database read": "OperationalError"}
    database.close()
