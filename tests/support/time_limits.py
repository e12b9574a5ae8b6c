"""Time limits of the store: long, since the machine may be busy; short where a test makes the database silent."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.store import postgres, shared_reader

LONG_SECONDS = 60.0


def lengthen(monkeypatch: pytest.MonkeyPatch) -> None:
    """No read or write of the test comes too late, however long it takes, and no heartbeat comes between them."""
    _set_read_seconds(monkeypatch, LONG_SECONDS)
    settings = f"{shared_reader.SESSION_SETTINGS}; SET statement_timeout = '{LONG_SECONDS:g}s'"
    for module in (postgres, shared_reader):
        monkeypatch.setattr(module, "SESSION_SETTINGS", settings)
    monkeypatch.setattr(postgres, "CONNECT_SECONDS", LONG_SECONDS)
    monkeypatch.setattr("app.wiring.WAIT_SECONDS", LONG_SECONDS)
    monkeypatch.setattr("app.store.presence.FIRST_BEAT_SECONDS", 3_600.0)


@contextmanager
def short_reads() -> Iterator[None]:
    """Until the end of the block, a read of an answer and a probe fail soon if the database does not answer."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _set_read_seconds(monkeypatch, 0.3)
        yield


def _set_read_seconds(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    for module in (postgres, shared_reader):
        monkeypatch.setattr(module, "READ_SECONDS", seconds)
