"""Settings and paths that cannot be used: one line for every command, and no traceback."""

from pathlib import Path

import pytest

from tests.support.commands import reckon

COMMANDS = [
    ("migrate",),
    ("import", "{ratings}"),
    ("export", "{folder}/export"),
    ("train",),
    ("worker",),
    ("serve", "--port", "0"),
    ("scale", "show"),
    ("scale", "set", "1:5"),
    ("snapshots", "list"),
    ("snapshots", "activate", "1"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: "-".join(words[:2]))
def test_folder_that_cannot_be_made(tmp_path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "ratings.csv").write_text("user_id,item_id,rating\na,b,3\n")
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path / "file" / "below"))
    words = [word.format(ratings=tmp_path / "ratings.csv", folder=tmp_path) for word in command]
    refused = reckon(*words)
    assert refused.exit_code == 1
    (line,) = refused.errors.splitlines()
    assert line.startswith("reckon: ")
    assert "RECKON_DATA_DIR" in line


def test_demo_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECKON_PORT", "0")
    (tmp_path / "file").touch()
    refused = reckon("demo", "--var", tmp_path / "file")
    assert refused.exit_code == 1
    assert refused.errors.count("\n") == 1
    assert str(tmp_path / "file") in refused.errors


@pytest.mark.parametrize(
    ("name", "value"), [("RECKON_PORT", "http"), ("RECKON_LOG_FORMAT", "xml"), ("RECKON_DATABASE_URL", "mysql://x/y")]
)
def test_bad_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))
    monkeypatch.setenv(name, value)
    refused = reckon("snapshots", "list")
    assert (refused.exit_code, refused.errors.count("\n")) == (1, 1)
    assert refused.errors.startswith(f"reckon: {name}")


def test_version() -> None:
    assert reckon("--version").output == "reckon 0.1.0\n"
