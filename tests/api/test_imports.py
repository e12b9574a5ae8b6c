"""`GET /imports`, and their rejected rows as JSON and for a spreadsheet."""

import csv
import io
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.intake.importing import import_path
from app.serving.placement_config import settings_to_store
from app.store import Store
from app.store.imports import KeptRow


@pytest.fixture
def store(client: TestClient) -> Store:
    """That of the service."""
    store: Store = client.app.state.service.store  # type: ignore[attr-defined]  # of our application
    return store


def test_import(client: TestClient, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating\nann,x,4\nbob,y,5\ncem,x,eleven\n")
    import_path(path, store, rejected_dir=tmp_path, check_settings=settings_to_store)
    (entry,) = client.get("/imports").json()["imports"]
    assert (entry["file"], entry["state"], entry["reason"]) == ("ratings.csv", "succeeded", None)
    counts = {"readable": 2, "stored": 2, "replaced": 0, "unchanged": 0, "rejected": 1, "repeated": 0}
    assert entry["progress"] == 1.0
    assert (entry["counts"], entry["n_rejected"], entry["n_kept"]) == ({"ratings": counts}, 1, 1)
    answer = client.get(f"/imports/{entry['import_id']}/rejected-rows")
    (row,) = answer.json()["rejected_rows"]
    assert (row["number"], row["file"], row["line"], row["field"]) == (1, "ratings.csv", 4, "value")
    assert row["row"] == "cem,x,eleven"
    assert answer.headers["cache-control"] == "no-store"
    assert client.get("/imports/latest/rejected-rows").json() == answer.json()


def test_progress(client: TestClient, store: Store) -> None:
    """Of rows but ratings, and in the records of earlier releases, repeated rows were not counted."""
    import_id = store.imports.begin("items.csv")
    assert client.get("/imports").json()["imports"][0]["progress"] is None
    counts = {"readable": 2, "stored": 2, "replaced": 0, "unchanged": 0, "rejected": 1}
    store.imports.report(import_id, {"items": counts}, 0.25)
    (entry,) = client.get("/imports").json()["imports"]
    assert (entry["progress"], entry["counts"]["items"]["repeated"]) == (0.25, None)


def test_csv(client: TestClient, store: Store) -> None:
    """What begins like a formula is marked, and a row with line breaks stays one row."""
    import_id = store.imports.begin("ratings.csv")
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "plain", 'a "b",\nc']
    rows = [KeptRow(n, "=file", n, None if n == 1 else "=field", f"={n}", text) for n, text in enumerate(texts, 1)]
    store.imports.keep(import_id, rows)
    answer = client.get(f"/imports/{import_id}/rejected-rows?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    head, *lines = csv.reader(io.StringIO(answer.text, newline=""))
    assert head == ["file", "line", "field", "reason", "row"]
    assert [line[4] for line in lines] == ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\tx", "'\rx", "plain", 'a "b",\nc']
    assert lines[1][:4] == ["'=file", "2", "'=field", "'=2"]
    assert lines[0][2] == ""


def test_many_rows(client: TestClient, store: Store) -> None:
    """More than are read at a time; none at all."""
    import_id = store.imports.begin("ratings.csv")
    for form in ("json", "csv"):
        assert client.get(f"/imports/{import_id}/rejected-rows?format={form}").status_code == 200
    assert client.get(f"/imports/{import_id}/rejected-rows").json() == {"import_id": import_id, "rejected_rows": []}
    store.imports.keep(import_id, [KeptRow(n, "f", n, None, "r", "t") for n in range(1, 2_502)])
    rows = client.get(f"/imports/{import_id}/rejected-rows").json()["rejected_rows"]
    assert [row["number"] for row in rows] == list(range(1, 2_502))


def test_unknown_import(client: TestClient) -> None:
    assert client.get("/imports").json() == {"imports": []}
    assert client.get("/imports/latest/rejected-rows").status_code == 404
    assert client.get("/imports/no-such-import/rejected-rows").status_code == 404
    assert client.get("/imports/latest/rejected-rows?format=xlsx").status_code == 422


def test_reading_is_recorded(client: TestClient, store: Store) -> None:
    import_id = store.imports.begin("ratings.csv")
    client.get(f"/imports/{import_id}/rejected-rows")
    assert [(each.action, each.target) for each in store.audit.entries(9)] == [
        ("imports.export_rejected_rows", import_id)
    ]
