"""The catalogue follows the store, whatever order changes come in, and moves to other snapshots."""

import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.entities import EPOCH, Item, Patch
from app.serving.catalogue import MAX_ATTRIBUTES, Catalogue, SetColumn, TextColumn, array_cache, columns
from app.serving.rows import Rows
from app.store import Store
from tests.support.databases import MigratedDatabases
from tests.support.events import happened
from tests.support.ratings import incoming

IDS = "abcdef"
START = [Item("a"), Item("b", categories=("x",), year=1980), Item("c", is_available=False)]
NO_KEYS: Rows = np.empty(0, np.int64)
VALUES = st.sampled_from([1, 2.5, True, False, "red", "blue", ["red"], ["blue", "red"], []])
ITEMS = st.builds(
    Item,
    st.sampled_from(IDS),
    title=st.sampled_from([None, "One", "Two"]),
    categories=st.sampled_from([(), ("x",), ("y",), ("y", "x")]),
    year=st.sampled_from([None, 1990, 2000]),
    attributes=st.dictionaries(st.sampled_from(["color", "size"]), VALUES),
    is_available=st.booleans(),
    available_until=st.sampled_from([None, EPOCH, datetime(2100, 1, 1, tzinfo=UTC)]),
    created_by=st.sampled_from([None, "ann", "bob"]),
    added_at=st.sampled_from([None, EPOCH, EPOCH + timedelta(days=1)]),
)
BARE = st.sampled_from(IDS).map(lambda item_id: Patch(item_id, keeps_bare=True))  # as a rating makes them
# Items to record, patches to apply, ids to delete.
CHANGES = st.lists(st.one_of(ITEMS, BARE, st.sampled_from(IDS)), max_size=12)


@pytest.fixture
def catalogue(store: Store) -> Catalogue:
    """Of no snapshot."""
    return Catalogue(store.items, NO_KEYS)


@given(changes=CHANGES, pause=st.integers(0, 12), kept=st.integers(0, 2**9), moved_at=st.integers(0, 12))
@settings(max_examples=30)
def test_followed_and_moved_is_as_built(
    changes: list[Item | Patch | str], pause: int, kept: int, moved_at: int, databases: MigratedDatabases
) -> None:
    """One that followed every change, or moved to another snapshot, shows what one built afterwards shows."""
    with fresh_store(databases) as store:
        store.items.record(START)
        keys = Catalogue(store.items, NO_KEYS).keys
        followed, moved = Catalogue(store.items, keys), Catalogue(store.items, keys)
        for number, change in enumerate(changes):
            if isinstance(change, str):
                store.items.delete(change)
            elif isinstance(change, Patch):
                store.items.patch([change])
            else:
                store.items.record([change])
            if number >= pause:
                followed.refresh()
            if number == moved_at:
                some = np.array([key for place, key in enumerate(moved.keys.tolist()) if kept >> place & 1], np.int64)
                moved = moved.rebased(np.sort(some))
        followed.refresh()
        moved.refresh()
        back = moved.rebased(keys)
        built = Catalogue(store.items, keys)
        assert shown(followed) == shown(built)
        assert shown(moved) == shown(built)
        assert shown(back) == shown(built)
        assert back.item_ids[: len(keys)] == built.item_ids[: len(keys)]
        assert newest(followed) == newest(moved) == newest(back) == newest(built)


@contextmanager
def fresh_store(databases: MigratedDatabases) -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder, databases.fresh("sqlite", Path(folder)) as url:
        store = Store.open(url, Path(folder))
        try:
            yield store
        finally:
            store.close()


def shown(catalogue: Catalogue) -> dict[str, Any]:
    """What it says of every item, by id."""
    available = catalogue.available(time.time_ns() // 1_000)
    says: dict[str, Any] = {}
    for item_id in IDS:
        row = catalogue.row_of_id(item_id)
        if row is None:
            continue
        assert catalogue.item_ids[row] == item_id
        assert catalogue.rows_of_keys(catalogue.keys[[row]]).tolist() == [row]
        says[item_id] = {
            "key": int(catalogue.keys[row]),
            "title": catalogue.titles[row],
            "is_available": bool(available[row]),
            "times": (int(catalogue.added_at[row]), cell(catalogue, "available_until", row)),
            "year": str(cell(catalogue, "year", row)),
            "categories": [catalogue.category_names[code] for code in catalogue.categories_of(row)],
            "in_category": [name for name in ("x", "y") if catalogue.in_category(name)[row]],
            "created_by": [name for name in ("ann", "bob") if row in catalogue.rows_created_by(name)],
            "attributes": attributes_of(row, catalogue),
        }
    assert np.count_nonzero(available) == sum(item["is_available"] for item in says.values())
    return says


def cell(catalogue: Catalogue, field: str, row: int) -> Any:
    column = catalogue.field(field)
    assert column is not None
    return column.cells.buffer[row].item()


def attributes_of(row: int, catalogue: Catalogue) -> dict[str, Any]:
    """Those that are known."""
    known: dict[str, Any] = {}
    for name in catalogue.attributes:
        for column in catalogue.attributes.of(name):
            cell = column.cells.buffer[row]
            if column.is_known()[row]:
                assert name not in known
                known[name] = (type(column), cell)
                if isinstance(column, TextColumn):
                    known[name] = column.vocabulary.texts[cell]
                if isinstance(column, SetColumn):
                    elements = column.vocabulary.elements.texts
                    known[name] = [elements[code] for code in column.vocabulary.sets[cell]]
    return known


def newest(catalogue: Catalogue) -> list[str]:
    return [catalogue.item_ids[row] for row in catalogue.newest.first(10, catalogue.available(time.time_ns() // 1_000))]


def test_newest_first(catalogue: Catalogue, store: Store) -> None:
    times = [None, 3, 1, None, 3]
    store.items.record(
        [Item(str(n), added_at=None if day is None else EPOCH + timedelta(days=day)) for n, day in enumerate(times)]
    )
    catalogue.refresh()
    assert newest(catalogue) == ["4", "1", "2", "3", "0"]
    store.items.record([Item("2", added_at=EPOCH + timedelta(days=9))])
    catalogue.refresh()
    assert newest(catalogue) == ["2", "4", "1", "3", "0"]
    assert catalogue.newest.first(2, np.array([True, False, False, True, True])).tolist() == [4, 3]
    assert catalogue.newest.first(2, np.array([True, True])).tolist() == [1, 0]


def test_newest_leaves_out_bare_items(catalogue: Catalogue, store: Store) -> None:
    """Once an item was put, with no more than an id even; all return when no such item is left."""

    def newest_now() -> list[str]:
        catalogue.refresh()
        built = Catalogue(store.items, NO_KEYS)
        assert newest(catalogue) == newest(built)
        return newest(catalogue)

    store.ratings.record(incoming(("u", "a", 3), ("u", "b", 3)))
    assert newest_now() == ["b", "a"]
    store.items.record([Item("c")])
    assert newest_now() == ["c"]
    store.ratings.record(incoming(("u", "d", 3)))
    assert newest_now() == ["c"]
    store.items.record([Item("a")])
    assert newest_now() == ["c", "a"]
    store.items.delete("c")
    store.events.record(happened(("late", "clicked", "u", "c", 1)))
    assert newest_now() == ["a"]
    store.items.delete("a")
    assert newest_now() == ["d", "b"]


def test_newest_of_many(catalogue: Catalogue, store: Store) -> None:
    store.items.record([Item(str(n), added_at=EPOCH + timedelta(days=n * 7 % 100)) for n in range(300)])
    catalogue.refresh()
    store.items.record([Item(str(n), added_at=EPOCH + timedelta(days=n * 3 % 100)) for n in range(0, 300, 9)])
    catalogue.refresh()
    allowed = np.arange(300) % 50 == 3
    expected = sorted(np.flatnonzero(allowed), key=lambda row: (-catalogue.added_at[row], -row))
    for n in (1, 3, 6, 10):
        assert catalogue.newest.first(n, allowed).tolist() == expected[:n]


def test_category_counts(catalogue: Catalogue, store: Store) -> None:
    store.items.record([Item("0"), Item("1", categories=("x", "y")), Item("2", categories=("y",))])
    catalogue.refresh()
    x, y = (catalogue.category_names.index(name) for name in ("x", "y"))
    rows = np.array([2, 0, 1, 1])
    assert [catalogue.categories_of(int(row)) for row in rows] == [(y,), (), (x, y), (x, y)]
    counts = catalogue.category_counts(rows)
    assert (counts[x], counts[y], counts.sum()) == (2, 3, 5)
    assert catalogue.category_counts(NO_KEYS).sum() == 0


def test_several_categories(catalogue: Catalogue, store: Store) -> None:
    store.items.record([Item("0", categories=("x",)), Item("1", categories=("x", "y")), Item("2", categories=("y",))])
    catalogue.refresh()
    assert np.flatnonzero(catalogue.in_any_category(["X"])).tolist() == [0, 1]
    assert np.flatnonzero(catalogue.in_any_category(["x", "y"])).tolist() == [0, 1, 2]
    assert np.flatnonzero(catalogue.in_all_categories(["x", "Y"])).tolist() == [1]
    assert not catalogue.in_all_categories(["x", "z"]).any()


def test_more_attributes_than_columns(catalogue: Catalogue, store: Store) -> None:
    store.items.record([Item(str(n), attributes={f"attribute {n}": n}) for n in range(MAX_ATTRIBUTES + 9)])
    catalogue.refresh()
    assert list(catalogue.attributes) == [f"attribute {n}" for n in range(MAX_ATTRIBUTES)]


def test_names_count_as_remembered(catalogue: Catalogue, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalogue is small, the filters are not: what is remembered of them has its bound all the same."""
    monkeypatch.setattr(array_cache, "MAX_BYTES", 1_000_000)
    store.items.record(START)
    catalogue.refresh()
    tracemalloc.start()
    try:
        for n in range(2 * 1_000_000 // 5_000):
            catalogue.remembered(("filter", f"{n:05000}"), lambda: np.ones(len(catalogue), np.bool_))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_200_000


def test_texts_out_of_use_are_dropped(catalogue: Catalogue, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "ROOM_FOR_UNUSED", 10)
    store.items.record([Item("a", attributes={"tags": ["one", "two"], "text": "kept"}, categories=("c",))])
    for k in range(9):
        changed = [Item(str(n), created_by=f"{k}-{n}", categories=(f"{k}-{n}",)) for n in range(30)]
        store.items.record([*changed, Item(f"b-{k}", attributes={"text": "kept"})])
        catalogue.refresh()
    creators = catalogue.field("created_by")
    assert isinstance(creators, TextColumn)
    assert len(creators.vocabulary) <= 92
    categories = catalogue.field("categories")
    assert isinstance(categories, SetColumn)
    assert len(categories.vocabulary) <= 92
    assert catalogue.rows_created_by("8-29").tolist() == [30]
    assert np.flatnonzero(catalogue.in_category("c")).tolist() == [0]
    assert attributes_of(0, catalogue) == {"tags": ["one", "two"], "text": "kept"}


def test_keys_that_came_late(store: Store) -> None:
    """A snapshot of some of the items: those newer to it have keys between its own."""
    store.items.record([Item(str(n)) for n in range(9)])
    keys = Catalogue(store.items, NO_KEYS).keys
    catalogue = Catalogue(store.items, keys[[1, 4, 8]])
    assert catalogue.rows_of_keys(keys).tolist() == [3, 0, 4, 5, 1, 6, 7, 8, 2]
    assert catalogue.rows_of_keys(np.array([0, 99])).tolist() == [-1, -1]


def test_vectors_of_newer_items(store: Store) -> None:
    """Whatever way an item came, its vector is that of its features as they are."""

    def vectors_of(items: Any) -> Any:
        return np.array([[item.year or 0] for item in items], np.float32).reshape(-1, 1)

    store.items.record([Item("a", year=1), Item("b", year=2), Item("c", year=3)])
    keys = Catalogue(store.items, NO_KEYS).keys
    catalogue = Catalogue(store.items, keys[:1], vectors_of)
    assert catalogue.newer_vectors.tolist() == [[2], [3]]
    store.items.record([Item("d", year=4)])
    catalogue.refresh()
    seen = catalogue.newer_vectors
    store.items.record([Item("b", year=5), Item("e", year=6)])
    catalogue.refresh()
    assert seen.tolist() == [[2], [3], [4]]
    assert catalogue.newer_vectors.tolist() == [[5], [3], [4], [6]]
    assert catalogue.rebased(keys[1:2], vectors_of).newer_vectors.tolist() == [[1], [3], [4], [6]]
