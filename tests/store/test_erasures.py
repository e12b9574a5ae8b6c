"""What the deletion of a user removes at once, and what a restore must not bring back."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.entities import Item, User
from app.errors import InvalidInputError, NotFoundError, UnavailableError
from app.store import Store, migrate
from app.store.backup import backup, restore
from app.store.erasures import OF_A_USER, hash_of
from app.store.imports import KeptRow
from app.store.kept_answers import ANY_USER, Answer, KeyedRequest
from app.store.schema import backups, erasures, metadata, users
from tests.support.events import happened
from tests.support.keys import made_key
from tests.support.kills import run_until
from tests.support.postgres import n_waiting
from tests.support.ratings import incoming
from tests.support.service import wait_until


def rows_with(store: Store, texts: Sequence[str]) -> list[str]:
    """The tables of which any row holds one of the texts."""
    with store.database.reading() as connection:
        return [
            table.name
            for table in metadata.sorted_tables
            if any(text in str(tuple(row)) for row in connection.execute(sa.select(table)) for text in texts)
        ]


OF_NO_USER = {
    "api_keys",  # of operators, who name them
    "arrivals",
    "audit_log",  # targets of administrative acts, of which none is on a user
    "backups",
    "counters",
    "deleted_items",
    "erasures",
    "event_types",
    "former_snapshots",  # figures over many users
    "imports",
    "installation",
    "kept_answers",  # emptied where they may name the user
    "items",  # but for `created_by`, which is cleared
    "placement_versions",
    "placements",
    "processes",
    "rejected_rows",  # all of them are deleted with any user
    "run_logs",  # decisions and figures of training, which name no user
    "snapshots",
    "tenants",
    "totals",
    "training_jobs",
    "trends",  # sums over users, out of which the user's terms are taken
}


def test_every_table() -> None:
    """A new table is looked at: if it holds anything of users, it belongs to `OF_A_USER`, or `_remove` clears it."""
    of_users = {table.name for table in (*OF_A_USER, users)}
    assert {table.name for table in metadata.sorted_tables} == of_users | OF_NO_USER
    assert {table.name for table in metadata.sorted_tables if "user_key" in table.c} == of_users


def test_every_row(store: Store) -> None:
    store.users.record([User("ann", "canary", {"a": "canary"}), User("guest"), User("bob")])
    store.items.record([Item("own", created_by="ann"), Item("other", created_by="guest")])
    store.ratings.record(incoming(("ann", "x", 5.0), ("guest", "y", 5.0), ("bob", "x", 5.0)))
    store.ratings.remove("ann", "x", at=1)
    clicks = [(f"e-{user}", "clicked", user, "x", 1) for user in ("ann", "guest")]
    store.events.record(happened(*clicks, ("gone-guest", "clicked", "guest", "x", 2)))
    store.events.delete("gone-guest", at=1)
    store.users.merge("ann", "guest")
    answers = {"k1": "ann", "k2": "guest", "k3": ANY_USER}
    for key, user_id in answers.items():
        store.kept_answers.keep([(KeyedRequest(key, "canary"), Answer(200, b"canary", user_id))])
    import_id = store.imports.begin("ratings.csv")
    store.imports.keep(import_id, [KeptRow(1, "ratings.csv", 2, "value", "value: 'canary'", "ann,x,canary")])
    erasure = store.users.delete("ann")
    assert erasure is not None
    assert rows_with(store, ["ann", "guest'", "canary", "e-guest", "gone-guest"]) == []
    assert erasure.removed == {
        "users": 1,
        "items": 2,
        "redirects": 1,
        "ratings": 2,
        "events": 2,
        "named_events": 2,
        "interactions": 1,
        "deleted_events": 1,
        "quarantine": 0,
        "rejected_rows": 1,
    }
    assert store.users.get("bob") is not None
    assert {item.item_id: item.created_by for item in store.items.stream()}["own"] is None


def test_id_without_a_user(store: Store) -> None:
    """Of a merged guest, or of the creator of an item."""
    store.users.record([User("ann"), User("guest")])
    store.users.merge("ann", "guest")
    store.items.record([Item("own", created_by="maker")])
    assert store.users.delete("guest") is not None
    assert store.users.delete("maker") is not None
    assert rows_with(store, ["'guest'", "maker"]) == []
    assert store.users.get("ann") is not None
    assert store.users.delete("guest") is None


def test_record_names_no_user(store: Store) -> None:
    store.users.record([User("ann"), User("bob")])
    first, second = store.users.delete("ann"), store.users.delete("bob")
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == (1, 2)
    assert store.training_reads.load().n_erasures == 2
    assert first.user_hash == hash_of("ann", first.salt)
    assert first.salt != second.salt
    assert [each.number for each in store.erasures.pending()] == [1, 2]
    assert store.erasures.get(first.erasure_id) == first
    with pytest.raises(NotFoundError):
        store.erasures.get("no-such-erasure")


def test_only_pending_is_completed(store: Store) -> None:
    """Two workers may complete the same erasures."""
    store.users.record([User("ann")])
    store.users.delete("ann")
    ready = store.erasures.pending()
    store.erasures.complete(ready, snapshot_version=1, n_rejected_files=2)
    store.erasures.complete(ready, snapshot_version=7, n_rejected_files=0)
    (completed,) = store.erasures.latest(5)
    assert (completed.snapshot_version, completed.removed["rejected_files"]) == (1, 2)


def filled(database_url: str, folder: Path) -> Store:
    store = Store.open(database_url, folder)
    store.users.record([User("ann", None, {"a": "canary"}), User("bob"), User("eve")])
    return store


@pytest.mark.usefixtures("postgres_programs")
def test_restore_erases_again(database_url: str, tmp_path: Path) -> None:
    """A backup brings nobody back who was erased since, and receipts list the backups that hold the user."""
    store = filled(database_url, tmp_path)
    before = store.users.delete("eve")
    import_id = store.imports.begin("ratings.csv")
    store.imports.keep(import_id, [KeptRow(1, "ratings.csv", 2, None, "rejected", "ann,canary")])
    backup(database_url, tmp_path, tmp_path / "copy")
    erasure = store.users.delete("ann")
    assert before is not None
    assert erasure is not None
    store.erasures.complete(store.erasures.pending(), snapshot_version=None, n_rejected_files=0)
    backup(database_url, tmp_path, tmp_path / "later")
    assert [each.file for each in store.erasures.get(before.erasure_id).backups] == []
    assert [each.file for each in store.erasures.get(erasure.erasure_id).backups] == ["copy"]
    restore(database_url, tmp_path, tmp_path / "copy")
    store.generation.check()
    assert [user.user_id for user in store.users.stream()] == ["bob"]
    assert list(store.imports.rows(import_id)) == []
    assert store.arrivals.totals()["users"].n == 1
    assert store.erasures.get(erasure.erasure_id).completed_at is not None
    assert [each.number for each in store.erasures.latest(5)] == [3, 2, 1]
    store.close()
    if database_url.startswith("sqlite"):
        assert b"canary" not in (tmp_path / "reckon.db").read_bytes()


def test_restore_erases_merged_guests_with_their_user(tmp_path: Path) -> None:
    """The backup holds both ids. They are those of one person, of whom one erasure is left."""
    migrate("", tmp_path)
    store = filled("", tmp_path)
    store.users.record([User("guest")])
    store.users.merge("ann", "guest")
    backup("", tmp_path, tmp_path / "copy")
    store.users.delete("ann")
    restore("", tmp_path, tmp_path / "copy")
    assert [user.user_id for user in store.users.stream()] == ["bob", "eve"]
    assert not store.users.is_merged("guest")
    assert [each.number for each in store.erasures.latest(5)] == [2, 1]
    store.close()


@pytest.mark.usefixtures("postgres_programs")
def test_restore_without_erasures(database_url: str, tmp_path: Path) -> None:
    store = filled(database_url, tmp_path)
    backup(database_url, tmp_path, tmp_path / "copy")
    restore(database_url, tmp_path, tmp_path / "copy")
    store.generation.check()
    assert len(list(store.users.stream())) == 3
    with store.database.reading() as connection:
        assert connection.execute(sa.select(erasures)).all() == []
    store.close()


def test_restore_beside_an_erasure(tmp_path: Path) -> None:
    """An erasure that is committed while a restore waits for the lock of writers is not lost."""
    migrate("", tmp_path)
    store = filled("", tmp_path)
    backup("", tmp_path, tmp_path / "copy")
    restoring = threading.Thread(target=restore, args=("", tmp_path, tmp_path / "copy"))
    with store.database.joined():
        store.users.record([User("new")])
        restoring.start()
        wait_until(lambda: is_running(restoring, "_lock_file"))
        erasure = store.users.delete("ann")
    restoring.join()
    assert [user.user_id for user in store.users.stream()] == ["bob", "eve"]
    assert erasure is not None
    assert store.erasures.get(erasure.erasure_id).number == erasure.number
    store.close()


def is_running(thread: threading.Thread, function: str) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code.co_name != function:
        frame = frame.f_back
    return frame is not None


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.usefixtures("postgres_programs")
def test_erasure_beside_a_restore(database_url: str, tmp_path: Path) -> None:
    """It waits for the end of the restore, and then finds the user."""
    store = filled(database_url, tmp_path)
    backup(database_url, tmp_path, tmp_path / "copy")
    restoring = threading.Thread(target=restore, args=(database_url, tmp_path, tmp_path / "copy"))
    erasing = threading.Thread(target=store.users.delete, args=("ann",))
    engine = sa.create_engine(database_url)
    with engine.connect() as other:
        other.exec_driver_sql("LOCK TABLE users IN ACCESS SHARE MODE")
        restoring.start()
        wait_until(lambda: n_waiting(database_url) == 1)
        erasing.start()
        wait_until(lambda: n_waiting(database_url) == 2)
    engine.dispose()
    restoring.join()
    erasing.join()
    assert [user.user_id for user in store.users.stream()] == ["bob", "eve"]
    store.close()


@pytest.mark.usefixtures("postgres_programs")
def test_erasure_before_a_backup(database_url: str, tmp_path: Path) -> None:
    """A deletion that is in progress when a backup begins is not in the backup, whose time is later."""
    store = filled(database_url, tmp_path)
    is_a_file = store.database.dialect.is_a_file
    backing_up = threading.Thread(target=backup, args=(database_url, tmp_path, tmp_path / "copy"))
    with store.database.joined():
        erasure = store.users.delete("ann")
        backing_up.start()
        wait_until(lambda: is_running(backing_up, "_lock_file" if is_a_file else "record_backup"))
        wait_until(lambda: is_a_file or n_waiting(database_url) == 1)
    backing_up.join()
    store.erasures.complete(store.erasures.pending(), snapshot_version=None, n_rejected_files=0)
    assert erasure is not None
    assert store.erasures.get(erasure.erasure_id).backups == ()
    restore(database_url, tmp_path, tmp_path / "copy")
    assert [each.number for each in store.erasures.latest(5)] == [1]  # it was not erased again
    store.close()


KILLED_BACKUPS = {"sqlite": ("_copy", "_write"), "postgresql": ("dump", "_write")}
KILLED_RESTORES = {
    "sqlite": ("_copy", "_migrate", "_kept", "erase_again", "_prepare", "_copy*", "_restore_sqlite"),
    "postgresql": ("lock_tables", "load", "upgrade", "erase_again", "adopt", "_committed*", "_restore_postgres"),
}
"""Steps as of `run_until`."""


@pytest.mark.usefixtures("postgres_programs")
def test_killed_backup(database_url: str, tmp_path: Path) -> None:
    """Receipts list every file that it may have left, also for a user who was deleted before the kill."""
    store = filled(database_url, tmp_path)
    steps = KILLED_BACKUPS[sa.make_url(database_url).get_backend_name()]
    for step in steps:
        run_until(step, backup, database_url, tmp_path, tmp_path / f"copy{step}")
        assert list(tmp_path.glob(f"copy{step}*"))
    erasure = store.users.delete("ann")
    store.erasures.complete(store.erasures.pending(), snapshot_version=None, n_rejected_files=0)
    assert erasure is not None
    assert [each.file for each in store.erasures.get(erasure.erasure_id).backups] == [f"copy{step}" for step in steps]
    store.close()


@pytest.mark.usefixtures("postgres_programs")
def test_killed_restore(database_url: str, tmp_path: Path) -> None:
    """It leaves the state before or the restored one. In neither is anything back that was erased or revoked since."""
    store = filled(database_url, tmp_path)
    _, key = made_key("training")
    store.api_keys.add(key)
    backup(database_url, tmp_path, tmp_path / "copy")
    store.users.delete("ann")
    revoked = store.api_keys.revoke(key.key_id)
    found = []
    for step in KILLED_RESTORES[sa.make_url(database_url).get_backend_name()]:
        store.users.record([User("late")])
        store.close()
        run_until(step, restore, database_url, tmp_path, tmp_path / "copy")
        store = Store.open(database_url, tmp_path)
        found.append([user.user_id for user in store.users.stream()])
        assert store.api_keys.read().keys == [revoked]
    assert found == 5 * [["bob", "eve", "late"]] + 2 * [["bob", "eve"]]
    store.close()
    restore(database_url, tmp_path, tmp_path / "copy")
    assert not list(tmp_path.glob("*.restoring*"))


def test_refused_backup(database_url: str, tmp_path: Path) -> None:
    """One that fails is in no receipt."""
    store = filled(database_url, tmp_path)
    with pytest.raises((UnavailableError, InvalidInputError)):
        backup(database_url, tmp_path, tmp_path / "no folder" / "copy")
    with store.database.reading() as connection:
        assert connection.execute(sa.select(backups)).all() == []
    store.close()
