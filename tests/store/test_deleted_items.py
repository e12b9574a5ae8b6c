"""A deleted item stays deleted, whatever arrives for it, until it is put again."""

from pathlib import Path

import pytest

from app.entities import Item, Patch
from app.store import REPLACED, STORED, UNCHANGED, UNKNOWN_ITEM, Store
from tests.store.test_items import changes_since
from tests.support.events import happened
from tests.support.ratings import incoming


@pytest.fixture
def haunted(store: Store) -> Store:
    """Holds the item `y`; `x` was deleted, then clicked by `ann` and rated by `bob`."""
    store.items.record([Item("x", title="X"), Item("y")])
    store.items.delete("x")
    store.events.record(happened(("late", "clicked", "ann", "x", 5)))
    store.ratings.record(incoming(("bob", "x", 5, 5)))
    return store


def shown(store: Store) -> list[str]:
    """The ids that each read of the catalogue gives, which must be the same."""
    _, parts, _ = changes_since(store, -1)
    reads = [
        [item_id for part in parts for item_id in part.item_id],
        [item.item_id for _, item in store.items.page()],
        [item.item_id for item in store.items.stream()],
        [item.item_id for _, item in store.items.by_key()],
        list(store.items.ids_of(store.training_reads.load().item_keys.tolist()).values()),
    ]
    assert all(sorted(read) == sorted(reads[0]) for read in reads), reads
    assert store.items.count() == len(reads[0])
    known = {item_id for item_id in "xyz" if store.items.get(item_id)}
    assert known == set(reads[0]) == store.items.known_ids("xyz")
    return sorted(reads[0])


def test_late_writes(haunted: Store) -> None:
    assert shown(haunted) == ["y"]
    assert [rating.item_id for _, rating in haunted.ratings.page("bob")] == ["x"]
    assert [event.event_id for event in haunted.events.page("ann")] == ["late"]
    assert len(haunted.training_reads.load().ratings) == 0


def test_put_again(haunted: Store) -> None:
    assert haunted.items.record([Item("x")]) == [STORED]
    assert haunted.items.record([Item("x")]) == [UNCHANGED]
    assert haunted.items.patch([Patch("x", {"title": "X"})]) == [REPLACED]
    assert shown(haunted) == ["x", "y"]
    assert len(haunted.training_reads.load().ratings) == 1
    haunted.items.delete("x")
    haunted.events.record(happened(("later", "clicked", "ann", "x", 6)))
    assert shown(haunted) == ["y"]


def test_put_again_before_anything_came(store: Store) -> None:
    store.items.record([Item("x")])
    store.items.delete("x")
    store.items.patch([Patch("x", {"title": "X"})])
    version = store.users.freshness("ann").catalogue_version
    store.ratings.record(incoming(("ann", "x", 5, 5)))
    assert shown(store) == ["x"]
    assert store.users.freshness("ann").catalogue_version == version


def test_delete_twice(haunted: Store) -> None:
    haunted.items.delete("x")
    assert haunted.events.count() == haunted.ratings.count() == 0
    assert not haunted.items.delete("x")
    haunted.ratings.record(incoming(("bob", "x", 5, 5)))
    assert shown(haunted) == ["y"]


def test_bare_row_of_an_export(haunted: Store) -> None:
    """A row that says of an item that nothing but ratings is known of it does not bring it back."""
    haunted.items.delete("y")
    assert haunted.items.patch([Patch("x", keeps_bare=True), Patch("y", keeps_bare=True)]) == [UNCHANGED, STORED]
    assert shown(haunted) == []


def test_moved_to_another_store(store: Store) -> None:
    marked = Patch("x", keeps_bare=True, stays_deleted=True)
    assert store.items.patch([marked, Patch("y")]) == [STORED, STORED]
    store.ratings.record(incoming(("bob", "x", 5, 5)))
    assert shown(store) == ["y"]
    assert list(store.items.stream_marked()) == [(Item("x"), True, True), (Item("y"), False, False)]
    # It says nothing of an item that is there.
    assert store.items.patch([Patch("y", keeps_bare=True, stays_deleted=True)]) == [UNCHANGED]
    assert shown(store) == ["y"]


@pytest.mark.usefixtures("haunted")
def test_store_that_rejects_unknown_items(database_url: str, tmp_path: Path) -> None:
    strict = Store.open(database_url, tmp_path, rejects_unknown_items=True)
    assert strict.ratings.record(incoming(("ann", "x", 5), ("ann", "y", 5))).status.tolist() == [UNKNOWN_ITEM, STORED]
    assert strict.events.record(happened(("e", "clicked", "ann", "x", 5))).tolist() == [UNKNOWN_ITEM]
    strict.close()
