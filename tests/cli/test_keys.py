"""`reckon keys`."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.auth.keys import id_of
from app.store import migrate
from tests.support.commands import reckon


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))
    migrate("", tmp_path)
    return tmp_path


def listed() -> dict[str, Any]:
    return {key["key_id"]: key for key in json.loads(reckon("keys", "list", "--json").output)}


def test_create_and_list(folder: Path) -> None:
    assert "no keys" in reckon("keys", "list").output
    made = reckon("keys", "create", "--scope", "training", "--scope", "console", "--note", "Ann's", "--expires", "90d")
    text = made.output.strip()
    key_id = id_of(text)
    assert key_id is not None
    assert "once" in made.errors
    (key,) = listed().values()
    assert (key["key_id"], key["scopes"], key["note"]) == (key_id, ["training", "console"], "Ann's")
    assert (datetime.fromisoformat(key["expires_at"]) - datetime.now(UTC)).days in {89, 90}
    assert key_id in reckon("keys", "list").output
    secret = text[16:].encode()
    assert not any(secret in file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_json() -> None:
    options = ("--scope", "ratings:write", "--origin", "https://shop.example.com", "--limit", "5/second", "--json")
    made = json.loads(reckon("keys", "create", *options).output)
    assert id_of(made["key"]) == made["key_id"]
    assert (made["kind"], made["origins"], made["rate_limit"]) == ("browser", ["https://shop.example.com"], "5/second")
    assert "digest" not in made


@pytest.mark.parametrize("by", ["id", "key"])
def test_revoke(by: str) -> None:
    made = json.loads(reckon("keys", "create", "--scope", "admin", "--json").output)
    assert reckon("keys", "revoke", made["key" if by == "key" else "key_id"]).exit_code == 0
    assert not listed()[made["key_id"]]["is_valid"]
    assert "revoked" in reckon("keys", "list").output


def test_roll() -> None:
    old = json.loads(reckon("keys", "create", "--scope", "admin", "--note", "Ann's", "--json").output)
    new = json.loads(reckon("keys", "roll", old["key_id"], "--overlap", "2h", "--json").output)
    assert (new["scopes"], new["note"]) == (["admin"], "Ann's")
    keys = listed()
    assert keys[new["key_id"]]["expires_at"] is None
    assert keys[old["key_id"]]["expires_at"] is not None
    assert "valid until" in reckon("keys", "roll", new["key_id"]).output


@pytest.mark.parametrize(
    "arguments",
    [
        ("create",),
        ("create", "--scope", "everything"),
        ("create", "--scope", "admin", "--expires", "soon"),
        ("create", "--scope", "admin", "--limit", "x"),
        ("create", "--scope", "admin", "--origin", "https://a.example.com"),
        ("revoke", "0123456789ab"),
        ("revoke", "rk_0123456789ab_x"),
        ("roll", "0123456789ab"),
    ],
)
def test_refused(arguments: tuple[str, ...]) -> None:
    finished = reckon("keys", *arguments)
    assert finished.exit_code == 1
    assert finished.errors.splitlines()[-1].startswith("reckon: ")
    assert listed() == {}


def test_audit() -> None:
    made = json.loads(reckon("keys", "create", "--scope", "admin", "--json").output)
    reckon("keys", "revoke", made["key_id"])
    reckon("keys", "revoke", "0123456789ab")
    reckon("scale", "set", "1:10")
    reckon("snapshots", "activate", "4")
    entries = [json.loads(line) for line in reckon("audit", "--json").output.splitlines()]
    assert {entry["actor"] for entry in entries} == {"command line"}
    assert [(entry["action"], entry["target"], entry["outcome"]) for entry in reversed(entries)] == [
        ("keys.create", made["key_id"], "succeeded"),
        ("keys.revoke", made["key_id"], "succeeded"),
        ("keys.revoke", "0123456789ab", "not-found"),
        ("scale.set", "1:10", "succeeded"),
        ("snapshots.activate", "4", "not-found"),
    ]
    assert len(reckon("audit", "--limit", "2").output.splitlines()) == 2
