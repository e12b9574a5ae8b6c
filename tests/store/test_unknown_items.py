"""A store that rejects ratings and events of unknown items: row by row, and without a trace of what it rejects."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.entities import Item
from app.store import REPLACED, STORED, UNCHANGED, UNKNOWN_ITEM, Store
from tests.support.events import happened
from tests.support.postgres import n_waiting
from tests.support.ratings import incoming
from tests.support.service import wait_until


@pytest.fixture
def strict(store: Store, database_url: str, tmp_path: Path) -> Iterator[Store]:
    """Holds the item `x`, and `bare`, known from a rating that came before items were required."""
    store.items.record([Item("x")])
    store.ratings.record(incoming(("old", "bare", 3)))
    opened = Store.open(database_url, tmp_path, rejects_unknown_items=True)
    yield opened
    opened.close()


def test_ratings(strict: Store) -> None:
    rows = [("a", "x", 3), ("b", "no", 4), ("a", "x", 4), ("c", "bare", 5), ("a", "no", 1), ("a", "x", 4)]
    recorded = strict.ratings.record(incoming(*rows))
    assert recorded.status.tolist() == [STORED, UNKNOWN_ITEM, REPLACED, STORED, UNKNOWN_ITEM, UNCHANGED]
    assert [user.user_id for user in strict.users.stream()] == ["old", "a", "c"]
    assert [item.item_id for item in strict.items.stream()] == ["x", "bare"]
    assert strict.users.freshness("a").user_version == 2
    assert strict.ratings.record(incoming(("b", "no", 4))).status.tolist() == [UNKNOWN_ITEM]


def test_events(strict: Store) -> None:
    """An event that is rejected does not stand in the way of one with the same id."""
    rows = [
        ("1", "clicked", "b", "no", 1),
        ("1", "clicked", "a", "x", 2),
        ("1", "clicked", "a", "x", 3),
        ("2", "clicked", "b", "no", 4),
        ("3", "clicked", "c", "bare", 5),
    ]
    expected = [UNKNOWN_ITEM, STORED, UNCHANGED, UNKNOWN_ITEM, STORED]
    assert strict.events.record(happened(*rows)).tolist() == expected
    assert [event.at.microsecond for event in strict.events.stream()] == [2, 5]
    assert [user.user_id for user in strict.users.stream()] == ["old", "a", "c"]
    assert strict.events.record(happened(*rows[:1])).tolist() == [UNKNOWN_ITEM]


def test_catalogue_version_stays(strict: Store) -> None:
    before = strict.users.freshness("a").catalogue_version
    strict.ratings.record(incoming(("a", "x", 3), ("b", "no", 4)))
    assert strict.users.freshness("a").catalogue_version == before


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_item_deleted_before_its_user_is_locked(strict: Store, database_url: str) -> None:
    """The rating is tried again, and then its item is unknown."""
    strict.ratings.record(incoming(("ann", "bare", 3)))
    engine = sa.create_engine(database_url)
    with ThreadPoolExecutor(1) as threads, engine.connect() as other:
        other.exec_driver_sql("SELECT 1 FROM users FOR UPDATE")
        rating = threads.submit(strict.ratings.record, incoming(("ann", "x", 3)))
        wait_until(lambda: n_waiting(database_url) == 1)
        other.exec_driver_sql("DELETE FROM items WHERE item_id = 'x'")
        other.commit()
        assert rating.result().status.tolist() == [UNKNOWN_ITEM]
    engine.dispose()
    assert strict.items.get("x") is None


def test_items_deleted_meanwhile(strict: Store) -> None:
    """A row of an item that another transaction deletes leaves all or nothing."""

    def rate(n: int) -> int:
        status = int(strict.ratings.record(incoming((f"u{n}", "y", 3))).status[0])
        strict.events.record(happened((f"e{n}", "clicked", f"v{n}", "y", 1)))
        return status

    def put_and_delete(_: int) -> None:
        strict.items.record([Item("y")])
        strict.items.delete("y")

    with ThreadPoolExecutor(3) as pool:
        deleting = pool.map(put_and_delete, range(25))
        statuses = list(pool.map(rate, range(50)))
        list(deleting)
    # A deletion leaves the users of the item.
    users = {user.user_id for user in strict.users.stream()}
    assert {f"u{n}" for n, status in enumerate(statuses) if status == STORED} == {
        user_id for user_id in users if user_id.startswith("u")
    }
    assert strict.items.get("y") is None
    assert strict.ratings.count() == 1
