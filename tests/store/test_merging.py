"""A guest becomes a user: nothing is lost, nothing counts twice."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from app.entities import Item, User
from app.errors import NotFoundError
from app.store import UNCHANGED, Store
from tests.store.test_events import amounts
from tests.store.test_ratings import stored
from tests.support.events import happened
from tests.support.ratings import incoming


def test_all_that_was_a_guests(store: Store) -> None:
    store.users.record([User("guest", country="FI", attributes={"age": 31})])
    store.ratings.record(incoming(("guest", "x", 3, 10), ("guest", "y", 4)))
    store.events.record(happened(("e1", "watched", "guest", "z", 7, 0.5)))
    changes = store.ratings.change_count()
    merged = store.users.merge("ann", "guest")
    assert (merged.n_ratings, merged.n_events) == (2, 1)
    assert store.users.get("guest") is None
    assert store.users.get("ann") == User("ann", country="FI", attributes={"age": 31})
    assert stored(store) == {("ann", "x"): (3, 10), ("ann", "y"): (4, -(2**63))}
    assert amounts(store, "ann") == {("z", "watched"): (1, 7, 7, 0.5)}
    assert [event.user_id for event in store.events.page("ann")] == ["ann"]
    assert store.ratings.change_count() == changes + 2
    freshness = store.users.freshness("ann")
    assert (freshness.user_version, freshness.profile_version) == (2, 2)


def test_newer_rating_wins(store: Store) -> None:
    store.ratings.record(
        incoming(("ann", "old", 1, 10), ("ann", "new", 2, 30), ("ann", "gone", 3, 10), ("ann", "back", 1, 10))
    )
    store.ratings.record(
        incoming(("guest", "old", 5, 20), ("guest", "new", 5, 20), ("guest", "gone", 5, 20), ("guest", "back", 4, 30))
    )
    store.ratings.remove("guest", "gone", at=25)
    store.ratings.remove("ann", "back", at=20)
    assert store.users.merge("ann", "guest").n_ratings == 3
    assert stored(store) == {("ann", "old"): (5, 20), ("ann", "new"): (2, 30), ("ann", "back"): (4, 30)}
    late = store.ratings.record(incoming(("ann", "gone", 5, 24)))
    assert late.status[0] == UNCHANGED  # the guest's deletion holds


def test_interactions_add_up(store: Store) -> None:
    store.events.record(
        happened(
            ("e1", "clicked", "ann", "x", 10),
            ("e2", "clicked", "guest", "x", 5),
            ("e3", "clicked", "guest", "x", 20),
            ("e4", "watched", "ann", "x", 1, 0.5),
            ("e5", "watched", "guest", "x", 2, 0.25),
        )
    )
    assert store.users.merge("ann", "guest").n_events == 3
    assert amounts(store, "ann") == {("x", "clicked"): (3, 5, 20, None), ("x", "watched"): (2, 1, 2, 0.5)}
    assert store.users.freshness("ann").profile_version == 5
    assert store.events.record(happened(("e2", "clicked", "guest", "x", 5))).tolist() == [UNCHANGED]
    assert store.users.get("guest") is None


def test_equal_ids_of_events(store: Store) -> None:
    """An event that was sent as the guest and again as the user counts once, and one taken back stays so."""
    both = [("same", "watched", user_id, "x", at) for user_id, at in (("ann", 2), ("guest", 1))]
    taken_back = [("back", "clicked", user_id, "x", 3) for user_id in ("ann", "guest")]
    store.events.record(happened(*both, *taken_back, ("own", "watched", "guest", "x", 5)))
    store.events.delete("back", at=4)
    store.users.merge("ann", "guest")
    assert amounts(store, "ann") == {("x", "watched"): (2, 2, 5, None)}
    assert store.events.record(happened(*both, *taken_back)).tolist() == [UNCHANGED] * 4
    assert sorted(event.event_id for event in store.events.page("ann")) == ["own", "same"]


def test_same_event_of_one_only_guest(store: Store) -> None:
    store.events.record(happened(("same", "liked", "ann", "x", 2), ("same", "liked", "guest", "y", 1)))
    assert store.users.merge("ann", "guest").n_events == 0
    assert amounts(store, "ann") == {("x", "liked"): (1, 2, 2, None)}


def test_user_keeps_own_fields(store: Store) -> None:
    store.users.record([User("ann", "SE", {"age": 30}), User("guest", "FI", {"age": 31, "likes": ["a"]})])
    store.users.merge("ann", "guest")
    assert store.users.get("ann") == User("ann", "SE", {"age": 30, "likes": ["a"]})


def test_items_of_the_guest(store: Store) -> None:
    made = [Item("x", "X", created_by="guest"), Item("y", created_by="ann"), Item("z", created_by="guest2"), Item("w")]
    store.items.record(made)
    store.users.record([User("guest")])
    version = store.users.freshness("ann").catalogue_version
    store.users.merge("ann", "guest")
    assert {item.item_id: item.created_by for item in store.items.stream()} == {
        "x": "ann",
        "y": "ann",
        "z": "guest2",
        "w": None,
    }
    with store.items.changes_since(version) as changes:
        (part,) = changes.parts
    assert (list(part.item_id), list(part.fields["title"]), list(part.fields["created_by"])) == (["x"], ["X"], ["ann"])
    assert changes.version == version + 1
    store.users.record([User("guest")])
    store.users.merge("ann", "guest")
    assert store.users.freshness("ann").catalogue_version == version + 1


def test_items_stay_without_a_guest(store: Store) -> None:
    store.items.record([Item("x", created_by="guest")])
    with pytest.raises(NotFoundError):
        store.users.merge("ann", "guest")
    assert store.items.get("x") == Item("x", created_by="guest")


def test_empty_guest_changes_nothing(store: Store) -> None:
    store.users.record([User("ann", "SE"), User("guest")])
    before = store.users.freshness("ann")
    store.users.merge("ann", "guest")
    assert store.users.freshness("ann") == before
    assert store.users.get("guest") is None


def test_no_guest(store: Store) -> None:
    with pytest.raises(NotFoundError) as raised:
        store.users.merge("ann", "guest")
    assert "'guest' to merge" in raised.value.detail
    assert store.users.get("ann") is None


def test_merge_once(store: Store) -> None:
    """Of all who merge the same guest at once, one does."""
    store.ratings.record(incoming(*[("guest", f"i{number}", 3, 1) for number in range(50)]))
    store.events.record(happened(*[(f"e{number}", "liked", "guest", f"i{number}", 1) for number in range(50)]))

    def merge(number: int) -> int:
        try:
            return store.users.merge(f"u{number % 3}", "guest").n_events
        except NotFoundError:
            return 0

    with ThreadPoolExecutor(6) as threads:
        assert sorted(threads.map(merge, range(12))) == [0] * 11 + [50]
    assert store.ratings.count() == store.events.count() == 50


def test_merge_while_they_act(store: Store) -> None:
    """Merges in both directions while events arrive for both: every event counts once, for the user that remains."""

    def work(number: int) -> None:
        if number % 3:
            store.events.record(happened(*[(f"{number}-{who}", "liked", who, "x", number) for who in ("a", "b")]))
            store.ratings.record(incoming(("b", "x", 3, number), ("a", "x", 3, number)))
            return
        store.items.record([Item("x", created_by="a"), Item(f"x{number}", created_by="b")])
        with suppress(NotFoundError):
            store.users.merge(*(("a", "b") if number % 2 else ("b", "a")))

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(48)))
    left = [who for who in ("a", "b") if store.users.get(who)]
    assert sum(amounts(store, who).get(("x", "liked"), (0,))[0] for who in left) == 2 * 32
    assert store.events.count() == 2 * 32
