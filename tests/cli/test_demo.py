"""`reckon demo`: which data are served, and what is checked before anything is done."""

import socket
from pathlib import Path

import pytest

from app.cli.demo import COMPLETE, key_of, prepare
from app.errors import InvalidInputError
from tests.support.commands import reckon


def write(path: Path, text: str = "user_id,item_id,rating\na,b,3\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_key_is_of_path_and_content(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a" / "data.csv"), write(tmp_path / "b" / "data.csv")
    first = key_of(one, tmp_path / "var")
    assert key_of(one, tmp_path / "var") == first
    assert key_of(other, tmp_path / "var") != first
    write(one, "user_id,item_id,rating\na,b,4\n")
    assert key_of(one, tmp_path / "var") != first


def test_key_of_a_folder(tmp_path: Path) -> None:
    data, var = tmp_path / "data", tmp_path / "data" / "var"
    write(data / "ratings.csv")
    write(data / "more" / "items.csv", "item_id\nb\n")
    first = key_of(data, var)
    write(var / "demo-data" / "reckon.db", "the demo's own")
    assert key_of(data, var) == first
    write(data / "more" / "items.csv", "item_id\nc\n")
    assert key_of(data, var) != first


def test_border_between_files_counts(tmp_path: Path) -> None:
    for name, parts in (("x", ("ab", "c")), ("y", ("a", "bc"))):
        write(tmp_path / name / "data" / "1", parts[0])
        write(tmp_path / name / "data" / "2", parts[1])
    keys = set()
    for name in ("x", "y"):
        (tmp_path / name).rename(tmp_path / "same")
        keys.add(key_of(tmp_path / "same" / "data", tmp_path / "var"))
        (tmp_path / "same").rename(tmp_path / name)
    assert len(keys) == 2


def test_missing_data(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="there is no file or folder"):
        key_of(tmp_path / "nothing.csv", tmp_path)


def test_hint_names_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    var = tmp_path / "my films"
    (var / "demo-generated").mkdir(parents=True)
    (var / "demo-generated" / COMPLETE).touch()
    assert prepare(None, var) == var / "demo-generated"
    assert f"rm -r '{var / 'demo-generated'}'" in capsys.readouterr().out


def test_taken_port_is_noticed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("RECKON_PORT", str(other.getsockname()[1]))
        refused = reckon("demo", write(tmp_path / "data.csv"), "--var", tmp_path / "var")
    assert (refused.exit_code, refused.errors.count("\n")) == (1, 1)
    assert "RECKON_PORT" in refused.errors
    assert not (tmp_path / "var").exists()
