import json
from pathlib import Path

import pytest

from app.entities import Item, User
from app.store import Store, migrate
from tests.support.commands import reckon
from tests.support.runs import claimed


def test_list_and_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))
    migrate("", tmp_path)
    assert reckon("quarantine", "list").output.strip() == "no user is in quarantine"
    store = Store.open("", tmp_path)
    store.users.record([User("ann")])
    store.items.record([Item("x")])
    data = store.training_reads.load()
    store.quarantine.replace(claimed(store), data.user_keys, data.item_keys)
    store.close()
    assert reckon("quarantine", "list").output.startswith("ann  pushes x  ")
    assert reckon("quarantine", "release", "bob").exit_code == 1
    assert reckon("quarantine", "release", "ann").exit_code == 0
    (entry,) = json.loads(reckon("quarantine", "list", "--json").output)
    assert (entry["user_id"], entry["item_id"], entry["released_at"] is None) == ("ann", "x", False)
    assert "released" in reckon("quarantine", "list").output
    assert "quarantine.release  a user  succeeded" in reckon("audit").output
