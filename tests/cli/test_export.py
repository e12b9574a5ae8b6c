import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.scoring import PublishedScorer, open_snapshot, write_snapshot
from app.scoring.features import Encodings
from app.store import Store
from tests.support.commands import reckon
from tests.support.events import happened
from tests.support.ratings import incoming
from tests.support.snapshot_data import GROUPS, manifest_of, segments, snapshot_arrays


@pytest.fixture(autouse=True)
def environment(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECKON_DATABASE_URL", database_url)
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))


@pytest.fixture
def rated(store: Store) -> Store:
    store.ratings.record(incoming(("u1", "i1", 4.0), ("u2", "i1", 3.0), ("u2", "i2", 5.0)))
    store.events.record(happened(("e1", "clicked", "u1", "i2", 7)))
    return store


def test_counts_in_words(rated: Store, tmp_path: Path) -> None:
    finished = reckon("export", tmp_path / "out")
    assert finished.exit_code == 0
    (entry,) = rated.audit.entries(5)
    assert (entry.action, entry.target, entry.outcome) == ("database.export", "out", "succeeded")
    assert [line.split() for line in finished.output.splitlines()[:6]] == [
        ["ratings", f"{rated.ratings.count()}"],
        ["events", "1"],
        ["items", "2"],
        ["users", "2"],
        ["event_types", "6"],
        ["placements", "0"],
    ]
    names = sorted(path.stem for path in (tmp_path / "out").iterdir())
    assert names == ["event_types", "events", "items", "placements", "ratings", "reckon-export", "users"]


def test_json_lines(rated: Store, tmp_path: Path) -> None:
    finished = reckon("export", tmp_path / "out", "--format", "jsonl", "--json")
    counts = {"ratings": 3, "events": 1, "items": 2, "users": rated.users.count(), "event_types": 6, "placements": 0}
    assert json.loads(finished.output) == counts
    rows = [json.loads(line) for line in (tmp_path / "out" / "ratings.jsonl").read_text().splitlines()]
    assert rows[0] == {"user_id": "u1", "item_id": "i1", "value": 4.0, "rated_at": None}


def test_vectors_need_a_snapshot(rated: Store, tmp_path: Path) -> None:
    finished = reckon("export", tmp_path / "out", "--vectors")
    assert (finished.exit_code, finished.errors) == (1, "reckon: there is no snapshot 'live'\n")
    assert not (tmp_path / "out").exists()
    assert rated.snapshots.entries() == []


def publish(store: Store, data_dir: Path) -> PublishedScorer:
    """A live snapshot of what is stored, without training."""
    data, database_id = store.training_reads.load(), store.instance.database_id
    arrays = snapshot_arrays(n_items=len(data.item_keys), n_users=len(data.user_keys), n_factors=3)
    arrays = replace(arrays, item_keys=data.item_keys, user_keys=data.user_keys)
    store.jobs.enqueue("request")
    claim = store.jobs.claim("a-worker", lease_seconds=60)
    assert claim is not None
    version = store.snapshots.next_version()
    manifest = manifest_of(arrays, version, database_id, segments=segments(3))
    folder = write_snapshot(data_dir / "snapshots", manifest, arrays, Encodings(), GROUPS)
    store.snapshots.register(claim, version=version, path=str(folder.relative_to(data_dir)), card={})
    return open_snapshot(folder, database_id, version)


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as lines:
        return list(csv.reader(lines))


def test_vectors_predict(rated: Store, tmp_path: Path) -> None:
    snapshot = publish(rated, tmp_path)
    finished = reckon("export", tmp_path / "out", "--vectors", "--json")
    assert json.loads(finished.output)["vectors of items"] == snapshot.n_items
    card = json.loads((tmp_path / "out" / "vectors" / "vectors.json").read_text())
    header, *users = rows(tmp_path / "out" / "vectors" / "users.csv")
    assert header == ["user_id", "bias", "factor_1", "factor_2", "factor_3"]
    items = rows(tmp_path / "out" / "vectors" / "items.csv")[1:]
    assert {row[0] for row in items} == {"i1", "i2"}
    user_part, item_part = (np.array([row[1:] for row in table], dtype=float) for table in (users, items))
    predicted = card["mean_rating"] + user_part[:, :1] + item_part[:, 0] + user_part[:, 1:] @ item_part[:, 1:].T
    expected = [snapshot.predict(snapshot.user_side(row), snapshot.item_vectors[:2]) for row in range(len(users))]
    np.testing.assert_allclose(predicted.clip(1, 5), expected, atol=1e-5)
    assert (card["snapshot_version"], card["algorithm"]) == (snapshot.version, "funk_svd")


def test_marked_for_spreadsheets(rated: Store, tmp_path: Path) -> None:
    rated.ratings.record(incoming(("=1+1", "-5", 1.0)))
    publish(rated, tmp_path)
    assert reckon("export", tmp_path / "out", "--vectors", "--for-spreadsheets").exit_code == 0
    assert rows(tmp_path / "out" / "ratings.csv")[-1] == ["'=1+1", "'-5", "1", ""]
    assert "'=1+1" in {row[0] for row in rows(tmp_path / "out" / "vectors" / "users.csv")}
    finished = reckon("export", tmp_path / "lines", "--format", "jsonl", "--for-spreadsheets")
    # What is refused is audited as well.
    assert (finished.exit_code, finished.errors.splitlines()[-1]) == (1, "reckon: spreadsheets read CSV, not JSONL")


def test_vectors_not_imported(rated: Store, tmp_path: Path) -> None:
    publish(rated, tmp_path)
    reckon("export", tmp_path / "out", "--vectors")
    report = json.loads(reckon("import", tmp_path / "out", "--json").output)
    assert report["users"] == {"readable": 2, "stored": 0, "replaced": 0, "unchanged": 2, "rejected": 0}
