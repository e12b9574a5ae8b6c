"""The audit log in the database."""

import json
from pathlib import Path

import pytest
import structlog

from app.auth.keys import new_text
from app.errors import ConflictError
from app.store import Store, migrate


def test_newest_first(store: Store) -> None:
    for n in range(3):
        store.audit.record("command line", "keys.revoke", str(n))
    store.audit.record("4f1d09c2ab77", "snapshots.activate", "3", "not-found")
    newest, before = store.audit.entries(2)
    assert (newest.actor, newest.target, newest.outcome) == ("4f1d09c2ab77", "3", "not-found")
    assert (before.actor, before.target, before.outcome) == ("command line", "2", "succeeded")
    assert newest.at >= before.at


def test_act_survives_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """An act is not undone, nor an error hidden, because its entry cannot be stored; the log says so."""
    migrate("", tmp_path)
    store = Store.open("", tmp_path)
    with store.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE audit_log RENAME TO gone")
    structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.PrintLoggerFactory())
    store.audit.record("command line", "keys.revoke", "4f1d09c2ab77")
    store.close()
    events = [json.loads(line)["event"] for line in capfd.readouterr().out.splitlines()]
    assert events == ["audit", "audit entry not stored"]


def test_secrets_are_redacted(store: Store) -> None:
    key = new_text("secret")
    store.audit.record("4f1d09c2ab77", "placements.put", key)
    assert store.audit.entries(1)[0].target == f"{key[:16]}(redacted)"


def test_any_target(store: Store) -> None:
    """It is what stood in an address."""
    store.audit.record("anyone", "placements.put", "a\0b\ud800\u00e9" + "x" * 1_000, "invalid-input")
    assert store.audit.entries(1)[0].target == f"a\\u0000b\\ud800\u00e9{'x' * 185}"


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


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ConflictError("in use"), "conflict"),
        (KeyboardInterrupt(), "interrupted"),
        (ValueError("a defect"), "internal-error"),
    ],
)
def test_command_that_fails(store: Store, error: BaseException, outcome: str) -> None:
    """A part of the act may be done, so it has an entry however it ends."""
    with pytest.raises(type(error)), store.audit.command("tenants.delete", "shop"):
        raise error
    (entry,) = store.audit.entries(5)
    assert (entry.actor, entry.action, entry.target, entry.outcome) == (
        "command line",
        "tenants.delete",
        "shop",
        outcome,
    )
