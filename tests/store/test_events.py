"""Events: stored once each, and what they amount to in any order, on both databases."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.entities import Event, EventType, Item, User, from_microseconds
from app.errors import ConflictError, InvalidInputError
from app.store import REPLACED, STORED, UNCHANGED, Store, events, migrate
from tests.support.events import Row, happened
from tests.support.ratings import incoming

Amount = tuple[int, int, int, float | None]


def amounts(store: Store, user_id: str) -> dict[tuple[str, str], Amount]:
    """(count, first, last, portion) by item and type."""
    key = store.users.freshness(user_id).user_key
    assert key is not None
    _, found = asyncio.run(store.reads.profile(key))
    if found is None:
        return {}
    names, types = store.items.ids_of(found.item_key.tolist()), store.events.types()
    columns = (found.item_key, found.type_key, found.count, found.first_at, found.last_at, found.portion)
    return {
        (names[item], types[kind].name): (count, first, last, None if np.isnan(portion) else portion)
        for item, kind, count, first, last, portion in zip(*(column.tolist() for column in columns), strict=True)
    }


def test_counts_add_up(store: Store) -> None:
    rows = happened(
        ("e1", "clicked", "ann", "x", 20),
        ("e2", "clicked", "ann", "x", 10),
        ("e3", "watched", "ann", "x", 30, 0.25),
        ("e4", "clicked", "bob", "x", 40),
    )
    assert store.events.record(rows).tolist() == [STORED] * 4
    store.events.record(happened(("e5", "clicked", "ann", "x", 15), ("e6", "watched", "ann", "x", 5, 0.75)))
    assert amounts(store, "ann") == {("x", "clicked"): (3, 10, 20, None), ("x", "watched"): (2, 5, 30, 0.75)}
    assert amounts(store, "bob") == {("x", "clicked"): (1, 40, 40, None)}
    assert store.users.freshness("ann").profile_version == 5
    assert store.users.freshness("ann").user_version == 0
    assert store.items.get("x") == Item("x")


def test_replay_changes_nothing(store: Store) -> None:
    rows = happened(("e1", "bought", "ann", "x", 1), ("e2", "shown", "ann", "y", 2), ("e1", "bought", "ann", "x", 1))
    assert store.events.record(rows).tolist() == [STORED, STORED, UNCHANGED]
    before, heat = amounts(store, "ann"), store.trends.top_trending()[1].tolist()
    assert store.events.record(rows).tolist() == [UNCHANGED] * 3
    assert amounts(store, "ann") == before
    assert store.users.freshness("ann").profile_version == 2
    assert store.trends.top_trending()[1].tolist() == heat
    assert store.events.count() == 2


def test_first_of_an_id_wins(store: Store) -> None:
    first = happened(("e1", "liked", "ann", "x", 1), ("e1", "clicked", "ann", "y", 2))
    assert store.events.record(first).tolist() == [STORED, UNCHANGED]
    assert store.events.record(happened(("e1", "liked", "ann", "y", 2))).tolist() == [UNCHANGED]
    assert store.items.get("y") is None
    assert [(event.user_id, event.item_id) for event in store.events.stream()] == [("ann", "x")]


def test_ids_are_of_one_user(store: Store) -> None:
    """An id that another user has neither loses the event nor is told by the answer."""
    store.events.record(happened(("e1", "liked", "ann", "x", 1)))
    others = happened(*(("e1", "clicked", user_id, "x", 1) for user_id in ("bob", "eve", "bob")))
    assert store.events.record(others).tolist() == [STORED, STORED, UNCHANGED]
    assert [event.user_id for event in store.events.stream(chunk_size=2)] == ["ann", "bob", "eve"]
    assert amounts(store, "bob") == {("x", "clicked"): (1, 1, 1, None)}
    assert store.events.delete("e1", at=2)
    assert store.events.count() == 0
    again = happened(*(("e1", "clicked", user_id, "x", 1) for user_id in ("ann", "bob", "new")))
    assert store.events.record(again).tolist() == [UNCHANGED, UNCHANGED, STORED]


def test_equal_ids_on_pages(store: Store) -> None:
    store.events.record(happened(*(("e1", "liked", f"u{n}", "x", 1) for n in range(5))))
    seen: list[str] = []
    before: tuple[int, str, str] | None = None
    while page := store.events.page(before=before, limit=2):
        seen += [event.user_id for event in page]
        before = (1, "e1", page[-1].user_id)
    assert seen == [f"u{n}" for n in reversed(range(5))]


def test_unportioned_is_whole(store: Store) -> None:
    store.events.record(happened(("e1", "watched", "ann", "x", 1, 0.5), ("e2", "watched", "ann", "y", 1)))
    store.events.record(happened(("e3", "watched", "ann", "x", 1), ("e4", "watched", "ann", "y", 1, 0.5)))
    store.events.record(happened(("e5", "watched", "ann", "x", 1, 0.9)))
    assert {portion for *_, portion in amounts(store, "ann").values()} == {None}


def test_unknown_type_stores_nothing(store: Store) -> None:
    with pytest.raises(InvalidInputError, match="'hummed'"):
        store.events.record(happened(("e1", "liked", "ann", "x", 1), ("e2", "hummed", "ann", "x", 1)))
    assert store.events.count() == 0
    assert store.users.get("ann") is None


def test_event_round_trip(store: Store) -> None:
    rows = happened(("e1", "watched", "ann", "x", -62_000_000_000_000_001, 0.1), ("e2", "shown", "ann", "y", 7))
    traced = replace(rows, placement=["home", None], snapshot_version=[3, None], position=[0, None])
    store.events.record(traced)
    first = Event("e1", "watched", "ann", "x", from_microseconds(-62_000_000_000_000_001), 0.1, "home", 3, 0)
    second = Event("e2", "shown", "ann", "y", from_microseconds(7))
    assert list(store.events.stream(chunk_size=1)) == [first, second]
    assert store.events.page("ann") == [second, first]


def test_pages_neither_repeat_nor_skip(store: Store) -> None:
    rows = [(f"e{number}", "shown", "ann", "x", number // 3) for number in range(10)]
    store.events.record(happened(*rows, ("other", "shown", "bob", "x", 5)))
    seen: list[str] = []
    before: tuple[int, str, str] | None = None
    while page := store.events.page("ann", before=before, limit=4):
        seen += [event.event_id for event in page]
        last = page[-1]
        before = (last.at.microsecond, last.event_id, "ann")
        store.events.record(happened((f"new-{len(seen)}", "shown", "ann", "x", 100)))
    assert seen == [f"e{number}" for number in reversed(range(10))]


def test_types_as_declared(store: Store) -> None:
    by_name = {kind.name: kind for kind in store.events.types().values()}
    assert list(by_name) == ["shown", "clicked", "liked", "disliked", "watched", "bought"]
    assert by_name["watched"] == EventType("watched", 2, is_consumption=True)
    assert by_name["shown"] == EventType("shown", 0, is_exposure=True)


def test_put_and_delete_type(store: Store) -> None:
    shared = EventType("shared", 1.5)
    assert [store.events.put_type(shared) for _ in range(2)] == [STORED, UNCHANGED]
    assert store.events.put_type(EventType("shared", -0.5, is_exposure=True)) == REPLACED
    assert store.users.freshness("").placements_version == 2
    store.events.record(happened(("e1", "shared", "ann", "x", 1)))
    with pytest.raises(ConflictError, match="events of type 'shared'"):
        store.events.delete_type("shared")
    store.users.delete("ann")
    assert store.events.delete_type("shared")
    assert not store.events.delete_type("shared")
    assert store.users.freshness("").placements_version == 3
    key = max(store.events.types())
    store.events.put_type(shared)
    assert max(store.events.types()) > key + 1  # keys are never reused


def test_types_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.events.MAX_TYPES", 7)
    store.events.put_type(EventType("a", 1))
    with pytest.raises(ConflictError, match="7 event types"):
        store.events.put_type(EventType("b", 1))
    assert store.events.put_type(EventType("a", 2)) == REPLACED


def test_deletions_take_events(store: Store) -> None:
    store.events.record(
        happened(
            ("e1", "liked", "ann", "x", 1),
            ("e2", "liked", "ann", "y", 1),
            ("e3", "liked", "bob", "x", 1),
            ("e4", "liked", "cy", "y", 1),
        )
    )
    assert store.items.delete("x")
    assert amounts(store, "ann") == {("y", "liked"): (1, 1, 1, None)}
    assert amounts(store, "bob") == {}
    assert [store.users.freshness(user).profile_version for user in ("ann", "bob", "cy")] == [3, 2, 1]
    assert len(store.trends.top_trending()[0]) == 1
    key = store.users.freshness("ann").user_key
    assert key is not None
    assert store.users.delete("ann")
    assert asyncio.run(store.reads.profile(key)) == (None, None)
    assert [event.event_id for event in store.events.stream()] == ["e4"]


def test_deleted_user_arrives_again(store: Store) -> None:
    rows = happened(("e1", "liked", "ann", "x", 1))
    store.events.record(rows)
    store.users.delete("ann")
    assert store.events.record(rows).tolist() == [STORED]
    assert amounts(store, "ann") == {("x", "liked"): (1, 1, 1, None)}


def test_same_events_at_once(store: Store) -> None:
    """As two processes that replay one queue: each event counts once, and neither waits forever."""
    rows = [(f"e{number}", "clicked", f"u{number % 7}", f"i{number % 5}", number) for number in range(210)]
    orders = [np.random.default_rng(seed).permutation(len(rows)) for seed in range(6)]
    shuffled = [[rows[row] for row in order] for order in orders]

    def send(mine: list[Row]) -> int:
        parts = [mine[start : start + 30] for start in range(0, len(mine), 30)]
        return sum(int((store.events.record(happened(*part)) == STORED).sum()) for part in parts)

    with ThreadPoolExecutor(len(shuffled)) as threads:
        assert sum(threads.map(send, shuffled)) == len(rows)
    assert sum(amounts(store, "u3")[item, "clicked"][0] for item in (f"i{number}" for number in range(5))) == 30
    assert [store.users.freshness(f"u{number}").profile_version for number in range(7)] == [30] * 7


def test_events_and_ratings_at_once(store: Store) -> None:
    """Writers of both kinds and a deleter of items take their locks in one order."""

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for turn in range(15):
            users = [f"u{number}" for number in rng.permutation(6)]
            items = [f"i{number}" for number in rng.permutation(6)]
            pairs = list(zip(users, items, strict=True))
            if seed % 3 == 0:
                store.ratings.record(incoming(*[(user, item, 4, turn) for user, item in pairs]))
            elif seed % 3 == 1:
                store.events.record(happened(*[(f"{seed}-{turn}-{u}", "liked", u, i, turn) for u, i in pairs]))
            else:
                store.items.delete(items[0])

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    assert store.events.count() <= 2 * 15 * 6


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("migrated")
    migrate("", folder)
    return folder


names = st.sampled_from(["a", "b"])
event = st.tuples(
    st.sampled_from(["shown", "clicked", "watched"]),
    names,
    names,
    st.integers(-(2**55), 2**50),
    st.none() | st.floats(0, 1, allow_subnormal=False),
)


@pytest.mark.usefixtures("cheap_hashes")
@settings(max_examples=40)
@given(st.lists(event, min_size=1, max_size=12), st.data())
def test_any_order_any_repetition(migrated: Path, rows: list[Any], data: st.DataObject) -> None:
    rows = [(f"e{number}", *row) for number, row in enumerate(rows)]
    sent = data.draw(st.permutations(rows + data.draw(st.lists(st.sampled_from(rows), max_size=6))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(sent)), max_size=3)))
    store = Store.open("", migrated)
    try:
        store.events.record(happened(*rows))
        expected = {user: amounts(store, user) for user in {row[2] for row in rows}}
        for user in expected:
            store.users.delete(user)
        for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
            store.events.record(happened(*sent[start:end]))
        assert {user: amounts(store, user) for user in expected} == expected
        counted = [store.users.freshness(user).profile_version for user in sorted(expected)]
        assert counted == [sum(row[2] == user for row in rows) for user in sorted(expected)]
        for user in expected:
            store.users.delete(user)
    finally:
        store.close()


def test_user_fields_count_beside(store: Store) -> None:
    store.users.record([User("ann", country="FI")])
    store.events.record(happened(("e1", "liked", "ann", "x", 1)))
    assert store.users.freshness("ann").profile_version == 2
    assert store.users.get("ann") == User("ann", country="FI")


def test_read_on_the_loop(store: Store) -> None:
    store.events.record(happened(("e1", "watched", "ann", "x", 1, 0.5), ("e2", "shown", "ann", "y", 2)))
    key = store.users.freshness("ann").user_key
    assert key is not None
    user, found = asyncio.run(store.reads.profile(key))
    assert user == User("ann")
    assert found is not None
    assert (found.count.tolist(), found.last_at.tolist()) == ([1, 1], [1, 2])
    np.testing.assert_array_equal(found.portion, [0.5, np.nan])
    assert (found.item_key.dtype, found.portion.dtype) == (np.dtype("i8"), np.dtype("f8"))


def test_events_of_item(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = happened(
        ("e1", "shown", "ann", "x", 1),
        ("e2", "shown", "bob", "x", 2),
        ("e3", "clicked", "bob", "x", 3),
        ("e4", "shown", "ann", "y", 4),
    )
    store.events.record(replace(seen, placement=["home", "email", None, "home"]))
    counted = store.events.of_item("x")
    assert (dict(counted.counts), counted.is_complete) == (
        {("shown", "home"): 1, ("shown", "email"): 1, ("clicked", None): 1},
        True,
    )
    assert not store.events.of_item("z").counts
    monkeypatch.setattr(events, "MAX_COUNTED", 1)
    counted = store.events.of_item("x")
    assert (dict(counted.counts), counted.is_complete) == ({("shown", "home"): 1}, False)
    assert store.events.of_item("y").is_complete
