"""`reckon items`, `reckon users` and `reckon event-types`."""

import json
from pathlib import Path

import pytest

from app.entities import EventType, Item, User
from app.store import Store, migrate
from tests.support.commands import reckon
from tests.support.ratings import incoming


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("RECKON_DATABASE_URL", "")
    migrate("", tmp_path)
    store = Store.open("", tmp_path)
    store.items.record([Item(f"i{n}", f"Łódź {n}", ("Drama", "Crime")) for n in range(3)])
    store.items.record([Item("hidden", is_available=False)])
    store.users.record([User("Ann", "FI", {"age": 31}), User("bob")])
    store.ratings.record(incoming(("Ann", "i0", 4, 1), ("Ann", "i1", 4, 1)))
    store.events.put_type(EventType("watched", 2, is_consumption=True))
    store.close()
    return tmp_path


def test_items() -> None:
    shown = reckon("items", "list")
    assert shown.output.splitlines() == [
        *(f"i{n}\tŁódź {n}\tDrama, Crime" for n in range(3)),
        "hidden\t-\t\thidden",
    ]
    found = reckon("items", "list", "łóDŹ", "--limit", "2", "--json")
    assert [json.loads(line)["item_id"] for line in found.output.splitlines()] == ["i0", "i1"]
    assert "more" in found.errors
    nothing = reckon("items", "list", "zz", "--json")
    assert (nothing.output, nothing.exit_code) == ("", 0)
    assert json.loads(reckon("items", "show", "i1").output)["title"] == "Łódź 1"


def test_users() -> None:
    assert reckon("users", "list").output.splitlines() == ["Ann\tFI\tage=31", "bob"]
    assert reckon("users", "list", "ANN").output.splitlines() == ["Ann\tFI\tage=31"]
    assert json.loads(reckon("users", "show", "Ann").output) == {
        "user_id": "Ann",
        "country": "FI",
        "attributes": {"age": 31},
        "ratings": 2,
        "events": 0,
    }


@pytest.mark.parametrize("kind", ["items", "users"])
def test_unknown(kind: str) -> None:
    failed = reckon(kind, "show", "nope")
    assert (failed.exit_code, failed.output) == (1, "")
    assert "nope" in failed.errors


def test_event_types() -> None:
    assert "watched\t2\tconsumed" in reckon("event-types").output.splitlines()
    documents = map(json.loads, reckon("event-types", "--json").output.splitlines())
    watched = {"name": "watched", "weight": 2.0, "is_exposure": False, "is_consumption": True}
    assert watched in list(documents)


def test_backup_and_restore(folder: Path) -> None:
    copy = folder / "copy.db"
    assert reckon("backup", str(copy)).exit_code == 0
    store = Store.open("", folder)
    assert [(entry.action, entry.target) for entry in store.audit.entries(5)] == [("database.backup", "copy.db")]
    generations = [store.users.freshness("").generation]
    store.users.record([User("cid")])
    restored = reckon("restore", str(copy))
    assert (restored.exit_code, "WARNING" in restored.errors) == (0, False)
    assert store.users.get("cid") is None
    generations.append(store.users.freshness("").generation)
    restored = reckon("restore", "--in-place")
    assert (restored.exit_code, "keys were revoked" in restored.errors) == (0, True)
    generations.append(store.users.freshness("").generation)
    assert len(set(generations)) == 3
    assert reckon("restore").exit_code != 0
    assert reckon("restore", str(copy), "--in-place").exit_code != 0
    store.close()
