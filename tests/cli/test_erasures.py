import json
from pathlib import Path

import pytest

from app.entities import User
from app.erasure.eraser import Eraser
from app.snapshots.folders import SnapshotFolders
from app.store import Store, migrate
from tests.support.commands import reckon


@pytest.fixture
def receipt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The receipt of the erasure of `ann`; that of `bob` is pending."""
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))
    migrate("", tmp_path)
    store = Store.open("", tmp_path)
    store.users.record([User("ann"), User("bob")])
    store.users.delete("ann")
    Eraser(store, SnapshotFolders(tmp_path)).proceed()
    store.users.delete("bob")
    store.close()
    _, of_ann = json.loads(reckon("erasures", "list", "--json").output)
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(of_ann))
    return file


@pytest.mark.usefixtures("receipt")
def test_list() -> None:
    lines = reckon("erasures", "list").output.splitlines()
    assert ["pending" in line for line in lines] == [True, False]
    assert len(reckon("erasures", "list", "--limit", "1").output.splitlines()) == 1


def test_verify(receipt: Path) -> None:
    assert reckon("erasures", "verify", receipt, "--user-id", "ann").exit_code == 0
    other = reckon("erasures", "verify", receipt, "--user-id", "bob")
    assert (other.exit_code, "another user" in other.errors) == (1, True)


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON", '{"erasure_id": "x"}'])
def test_no_receipt(receipt: Path, content: str) -> None:
    receipt.write_text(content)
    assert reckon("erasures", "verify", receipt).exit_code == 1


def test_changed(receipt: Path) -> None:
    document = json.loads(receipt.read_text())
    receipt.write_text(json.dumps(document | {"completed_at": "2020-01-01T00:00:00Z"}))
    changed = reckon("erasures", "verify", receipt)
    assert (changed.exit_code, "changed since" in changed.errors) == (1, True)
