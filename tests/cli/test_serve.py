"""Whether a service may be open, and that it says so; services that run are tested in `tests/end_to_end/`."""

from pathlib import Path

import pytest

from app.cli.serve import _announce, has_valid_key, is_loopback
from app.store import Store, migrate
from tests.support.keys import expired, made_key


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))
    migrate("", tmp_path)
    return tmp_path


def test_open_service_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    _announce("http://127.0.0.1:8000", is_open=True)
    assert "every request is allowed" in capsys.readouterr().err
    _announce("http://127.0.0.1:8000", is_open=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        *((each, True) for each in ("localhost", "127.0.0.1", "127.9.9.9", "::1")),
        *((each, False) for each in ("0.0.0.0", "::", "10.0.0.7", "192.168.1.5", "example.com", "localhost.example")),  # noqa: S104
    ],
)
def test_loopback(host: str, *, is_own: bool) -> None:
    assert is_loopback(host) is is_own


def test_valid_key(folder: Path) -> None:
    """One that has expired or was revoked does not let a service listen where others reach it."""
    store = Store.open("", folder)
    store.api_keys.add(expired(made_key("admin")[1]))
    assert not has_valid_key()
    _, key = made_key("admin")
    store.api_keys.add(key)
    assert has_valid_key()
    store.api_keys.revoke(key.key_id)
    assert not has_valid_key()
    store.close()
