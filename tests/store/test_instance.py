"""The scale, the schema's version, and errors of a database that does not work."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.entities import Item, RatingScale, User
from app.errors import ConflictError, InvalidInputError, StorageFullError, UnavailableError
from app.store import REPLACED, STORED, UNCHANGED, Store, migrate
from app.store.dialect import UnexpectedDatabaseError
from app.store.migration import MIGRATIONS, SchemaError
from app.store.schema import metadata
from app.store.write_lock import WriteLock
from tests.support.events import happened
from tests.support.old_schema import take_back
from tests.support.ratings import incoming


def test_scale_defaults_open(store: Store) -> None:
    assert store.instance.scale() == RatingScale(1, 5)
    assert store.instance.is_scale_open()


def test_scale_is_declared_once(store: Store) -> None:
    store.instance.set_scale(RatingScale(0.5, 5, 0.5))
    assert store.instance.scale() == RatingScale(0.5, 5, 0.5)
    assert not store.instance.is_scale_open()
    assert store.jobs.latest() == []


def test_detected_scale_stays_open(store: Store) -> None:
    store.instance.set_scale(RatingScale(1, 10), is_declared=False)
    store.ratings.record(incoming(("ann", "x", 7.5, 1), ("ann", "y", 2, 1)))
    assert (store.instance.scale(), store.instance.is_scale_open()) == (RatingScale(1, 10), True)
    assert (store.instance.n_off(RatingScale(1, 10, 1)), store.instance.n_off(RatingScale(0, 10))) == (1, 0)
    store.instance.declare_scale()
    assert (store.instance.scale(), store.instance.is_scale_open()) == (RatingScale(1, 10), False)


def test_scale_never_loses_ratings(store: Store) -> None:
    store.instance.set_scale(RatingScale(1, 10))
    store.ratings.record(incoming(("ann", "x", 7.5, 1)))
    with pytest.raises(ConflictError):
        store.instance.set_scale(RatingScale(1, 5))
    with pytest.raises(ConflictError):
        store.instance.set_scale(RatingScale(1, 10, 1))
    assert store.instance.scale() == RatingScale(1, 10)
    store.instance.set_scale(RatingScale(0, 10))
    assert [job.trigger for job in store.jobs.latest()] == ["scale"]


def test_identity_is_kept(store: Store, database_url: str, tmp_path: Path) -> None:
    again = Store.open(database_url, tmp_path)
    assert again.instance.database_id == store.instance.database_id
    assert len(again.instance.token_key) == 32
    again.close()


def test_migration_matches_schema(store: Store) -> None:
    with store.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_events_of_older_releases(store: Store, database_url: str, tmp_path: Path) -> None:
    """They stay, and an id that was taken back when its user was not kept stays taken back for any user."""
    store.events.record(happened(*((f"e{n}", "clicked", "ann", "x", n) for n in range(3))))
    store.events.delete("e1", at=5)
    with store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE deleted_events SET user_key = 0")
        take_back(connection.exec_driver_sql, "0017")
    migrate(database_url, tmp_path)
    assert [event.event_id for event in store.events.stream()] == ["e0", "e2"]
    again = happened(("e0", "clicked", "bob", "x", 1), ("e1", "clicked", "bob", "x", 1))
    assert store.events.record(again).tolist() == [STORED, UNCHANGED]
    with store.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert sa.inspect(connection).get_pk_constraint("events")["constrained_columns"] == ["event_id", "user_key"]


def test_jobs_and_placements_of_older_releases(store: Store, database_url: str, tmp_path: Path) -> None:
    """Jobs stay and can be cancelled; what is stored of a placement is its first version."""
    ended, waiting = store.jobs.enqueue("request", seed=1), store.jobs.enqueue("request", seed=2)
    store.jobs.withdraw(ended.job_id, reason="interrupted")
    store.placements.put("home", {"novelty": 0.5}, changed_by="4f1d09c2ab77")
    before = store.jobs.latest()
    with store.database.writing() as connection:
        take_back(connection.exec_driver_sql, "0019")
    migrate(database_url, tmp_path)
    assert store.jobs.latest() == before
    assert store.jobs.cancel(waiting.job_id).state == "cancelled"
    assert store.jobs.enqueue("request", seed=3) == store.jobs.latest(1)[0]
    (version,) = store.placements.versions("home", 10)
    assert (version.number, version.settings, version.changed_by) == (1, {"novelty": 0.5}, None)
    assert store.placements.put("home", {"novelty": 1}).number == 2
    with store.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrate_twice(database_url: str, tmp_path: Path) -> None:
    migrate(database_url, tmp_path)
    Store.open(database_url, tmp_path).close()


def test_release_before_item_details(store: Store, database_url: str, tmp_path: Path) -> None:
    """A database that holds items without descriptions and addresses migrates, and keeps what it holds."""
    item = Item("x", title="Old", categories=("a",), year=1990, attributes={"url": "/x"})
    store.items.record([item, Item("hidden", is_available=False)])
    store.ratings.record(incoming(("ann", "rated", 3)))
    with store.database.writing() as connection:
        take_back(lambda statement: connection.execute(sa.text(statement)), "0003")
    store.close()
    with pytest.raises(SchemaError, match="older"):
        Store.open(database_url, tmp_path)
    migrate(database_url, tmp_path)
    migrated = Store.open(database_url, tmp_path)
    # Nothing says whether an item was put, but a value in any field does.
    hidden = Item("hidden", is_available=False)
    marked = [(item, False, False), (hidden, False, False), (Item("rated"), True, False)]
    assert list(migrated.items.stream_marked()) == marked
    assert migrated.instance.scale() == RatingScale()
    assert migrated.items.record([replace(item, url="https://example.com/x")]) == [REPLACED]
    with pytest.raises(UnexpectedDatabaseError, match=r"CHECK|23514"), migrated.database.writing() as connection:
        connection.execute(sa.text("UPDATE items SET url = :url"), {"url": "h" * 2_049})
    migrated.close()


def test_value_kind(store: Store) -> None:
    """A kind is set while every stored value is of it; nothing is ever changed."""
    store.ratings.record(incoming(("a", "x", 1), ("b", "x", 1)))
    for text in ("binary", "amounts", "pairs"):
        store.instance.set_scale(RatingScale.parse(text))
        assert store.instance.scale() == RatingScale.parse(text)
    store.instance.set_scale(RatingScale.parse("amounts"))
    store.ratings.record(incoming(("a", "y", 352_698)))
    for text in ("pairs", "binary", "1:5"):
        with pytest.raises(ConflictError, match=f"1 stored ratings lie outside {text}"):
            store.instance.set_scale(RatingScale.parse(text))
    assert store.instance.scale().kind == "amounts"


def test_newer_database(store: Store, database_url: str, tmp_path: Path) -> None:
    with store.database.writing() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaError, match="newer"):
        Store.open(database_url, tmp_path)
    with pytest.raises(SchemaError, match="newer"):
        migrate(database_url, tmp_path)


def test_empty_database(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="reckon migrate"):
        Store.open("", tmp_path)


def test_tables_without_a_revision(store: Store, database_url: str, tmp_path: Path) -> None:
    """`alembic downgrade base` leaves its own table behind, without a row."""
    with store.database.writing() as connection:
        connection.execute(sa.text("DELETE FROM alembic_version"))
    with pytest.raises(SchemaError, match="is empty"):
        Store.open(database_url, tmp_path)


@pytest.mark.parametrize("url", ["mysql://x", "no url", "oracle://x/y"])
def test_foreign_database(url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        Store.open(url, tmp_path)


def test_corrupt_file(tmp_path: Path) -> None:
    (tmp_path / "reckon.db").write_bytes(b"no database at all, but long enough to be looked at " * 9)
    with pytest.raises(UnavailableError):
        Store.open("", tmp_path)


def test_full_disk(tmp_path: Path) -> None:
    """A write that finds no room answers so, stores nothing, and reading goes on."""
    migrate("", tmp_path)
    store = Store.open("", tmp_path)
    store.ratings.record(incoming(("ann", "x", 3, 1)))

    @sa.event.listens_for(store.database.dialect.engine, "begin")
    def limit(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")

    with pytest.raises(StorageFullError):
        store.ratings.record(incoming(*[(f"u{n}", f"i{n}", 3, 1) for n in range(5_000)]))
    assert store.ratings.count() == 1
    store.close()


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[WriteLock]:
    lock = WriteLock(tmp_path / "lock", wait_seconds=10)
    yield lock
    lock.close()


def test_write_lock_excludes(lock: WriteLock, tmp_path: Path) -> None:
    other = WriteLock(tmp_path / "lock", wait_seconds=0.05)  # as another process would open it
    with lock.held(), pytest.raises(UnavailableError), other.held():
        pass
    with other.held():
        pass
    other.close()


def test_write_lock_queues_threads(tmp_path: Path) -> None:
    lock = WriteLock(tmp_path / "lock", wait_seconds=0.05)
    with lock.held(), pytest.raises(UnavailableError, match="other writers are busy"), lock.held():
        pass
    with lock.held():
        pass
    lock.close()


def test_revisions_sort_by_name() -> None:
    """What tells an older from a newer database without Alembic agrees with Alembic."""
    scripts = ScriptDirectory(MIGRATIONS)
    in_order = [script.revision for script in reversed(list(scripts.walk_revisions()))]
    names = sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("*.py"))
    assert names == in_order == sorted(in_order)


def test_texts_of_older_releases_become_normal(store: Store, database_url: str, tmp_path: Path) -> None:
    nfd = "Cafe\u0301"
    store.items.record([Item("x", nfd, (nfd, "Caf\u00e9"), 1990, {nfd: [nfd], "n": 12.0}), Item("plain", "Plain")])
    store.items.record([Item("both", attributes={nfd: 1, "Caf\u00e9": 2})])
    store.users.record([User("ann", nfd, {nfd: nfd}), User("bob", "fi")])
    before = {user_id: asyncio.run(store.reads.freshness(user_id)) for user_id in ("ann", "bob")}
    with store.database.writing() as connection:
        connection.execute(sa.text("UPDATE items SET title_folded = 'stale' WHERE item_id = 'x'"))
        take_back(lambda statement: connection.execute(sa.text(statement)), "0009")
    store.close()
    migrate(database_url, tmp_path)
    migrated = Store.open(database_url, tmp_path)
    assert migrated.items.get("x") == Item(
        "x", "Caf\u00e9", ("Caf\u00e9",), 1990, {"Caf\u00e9": ["Caf\u00e9"], "n": 12.0}
    )
    assert migrated.items.get("both") == Item("both", attributes={"Caf\u00e9": 2})
    assert [item.item_id for _, item in migrated.items.page(search="CAFE")] == ["x"]
    assert migrated.users.get("ann") == User("ann", "Caf\u00e9", {"Caf\u00e9": "Caf\u00e9"})
    after = {user_id: asyncio.run(migrated.reads.freshness(user_id)) for user_id in ("ann", "bob")}
    assert after["ann"].profile_version == before["ann"].profile_version + 1
    assert after["bob"].profile_version == before["bob"].profile_version
    with migrated.items.changes_since(before["ann"].catalogue_version) as changes:
        assert {item_id for part in changes.parts for item_id in part.item_id} == {"x", "both"}
    migrated.close()
