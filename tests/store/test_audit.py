"""The audit log in the database."""

import json

import pytest
import structlog

from app.auth.keys import new_text
from app.store import Store


def test_newest_first(store: Store) -> None:
    for n in range(3):
        store.audit.record("command line", "keys.revoke", str(n))
    store.audit.record("4f1d09c2ab77", "snapshots.activate", "3", "not-found")
    newest, before = store.audit.entries(2)
    assert (newest.actor, newest.target, newest.outcome) == ("4f1d09c2ab77", "3", "not-found")
    assert (before.actor, before.target, before.outcome) == ("command line", "2", "succeeded")
    assert newest.at >= before.at


def test_secrets_are_redacted(store: Store) -> None:
    key = new_text("secret")
    store.audit.record("4f1d09c2ab77", "placements.put", key)
    assert store.audit.entries(1)[0].target == f"{key[:16]}(redacted)"


def test_lines(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.PrintLoggerFactory())
    store.audit.record("command line", "keys.create", "4f1d09c2ab77")
    assert json.loads(capfd.readouterr().out) == {
        "event": "audit",
        "actor": "command line",
        "action": "keys.create",
        "target": "4f1d09c2ab77",
        "outcome": "succeeded",
    }
