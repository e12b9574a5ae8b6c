"""What arrives late for a merged guest is the user's, however many merges there were."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from app.entities import User
from app.errors import NotFoundError
from app.store import REPLACED, STORED, UNCHANGED, Store
from app.store.redirects import REDIRECTS_KEPT, targets_of
from app.store.schema import redirects
from tests.store.test_events import amounts
from tests.store.test_ratings import stored
from tests.support.events import happened
from tests.support.ratings import incoming

IDS = ("a", "b", "c", "d")


def merge(store: Store, user_id: str, guest_id: str) -> None:
    """Merges a guest that exists; makes it first if it is not stored."""
    if store.users.get(guest_id) is None:
        store.users.record([User(guest_id)])
    store.users.merge(user_id, guest_id)


def owner(store: Store, user_id: str, event_id: str) -> str:
    """To whom an event of the user goes."""
    store.events.record(happened((event_id, "clicked", user_id, "x", 1)))
    return next(event.user_id for event in store.events.stream() if event.event_id == event_id)


def test_late_writes(store: Store) -> None:
    merge(store, "ann", "guest")
    rows = [("ann", "x", 3, 10), ("guest", "x", 5, 20), ("guest", "y", 4, 10), ("bob", "y", 2, 10)]
    assert store.ratings.record(incoming(*rows)).status.tolist() == [STORED, REPLACED, STORED, STORED]
    store.events.record(happened(("e1", "bought", "guest", "z", 7), ("e2", "bought", "ann", "z", 8)))
    assert stored(store) == {("ann", "x"): (5, 20), ("ann", "y"): (4, 10), ("bob", "y"): (2, 10)}
    assert amounts(store, "ann") == {("z", "bought"): (2, 7, 8, None)}
    assert store.ratings.remove("guest", "y", at=11)
    assert store.ratings.record(incoming(("guest", "y", 4, 10))).status.tolist() == [UNCHANGED]
    assert [user.user_id for user in store.users.stream()] == ["ann", "bob"]


def test_chain(store: Store) -> None:
    for user, guest in (("b", "a"), ("c", "b")):
        merge(store, user, guest)
    assert [owner(store, user, f"e-{user}") for user in "abc"] == ["c", "c", "c"]


def test_merge_into_a_merged_guest(store: Store) -> None:
    merge(store, "ann", "guest")
    store.ratings.record(incoming(("tablet", "x", 5, 1)))
    assert store.users.merge("guest", "tablet").user_id == "ann"
    assert stored(store) == {("ann", "x"): (5, 1)}
    assert owner(store, "tablet", "e") == "ann"


def test_merge_back(store: Store) -> None:
    merge(store, "ann", "guest")
    store.ratings.record(incoming(("ann", "x", 5, 1)))
    assert store.users.merge("guest", "ann").user_id == "guest"
    assert stored(store) == {("guest", "x"): (5, 1)}
    assert [owner(store, user, user) for user in ("ann", "guest")] == ["guest", "guest"]


def test_aliases(store: Store) -> None:
    """Of all that became one user, whichever of them is asked for."""
    merge(store, "ann", "guest")
    merge(store, "bob", "ann")
    merge(store, "carol", "phone")
    of_bob = {"bob", "ann", "guest"}
    expected = {"bob": of_bob, "ann": of_bob, "guest": of_bob, "phone": {"carol", "phone"}, "dan": {"dan"}}
    assert store.users.aliases(list(expected)) == expected


def test_guest_put_anew(store: Store) -> None:
    merge(store, "ann", "guest")
    store.users.record([User("guest", country="FI")])
    assert owner(store, "guest", "e") == "guest"
    assert store.users.aliases(["guest", "ann"]) == {"guest": {"guest"}, "ann": {"ann"}}


def test_user_deleted(store: Store) -> None:
    merge(store, "ann", "guest")
    store.users.delete("ann")
    assert owner(store, "guest", "e") == "guest"
    assert store.users.get("ann") is None


def test_kept_for_a_while(store: Store) -> None:
    merge(store, "ann", "guest")
    with store.database.reading() as connection:
        merged_at = connection.execute(sa.select(redirects.c.merged_at)).scalar_one()
    kept = REDIRECTS_KEPT // timedelta(microseconds=1)
    assert store.users.purge_redirects(now=merged_at + kept) == 0
    assert store.users.purge_redirects(now=merged_at + kept + 1) == 1
    assert owner(store, "guest", "e") == "guest"


pairs = st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)).filter(lambda pair: pair[0] != pair[1])


@settings(max_examples=20)
@given(st.lists(st.tuples(st.sampled_from(["merge", "put", "delete"]), pairs), max_size=10))
def test_leads_to_users(store: Store, done: list[tuple[str, tuple[str, str]]]) -> None:
    """No id leads to an id that leads further, and none that is a user leads anywhere."""
    for action, (user_id, guest_id) in done:
        if action == "merge":
            with suppress(NotFoundError):
                store.users.merge(user_id, guest_id)
        elif action == "put":
            store.users.record([User(user_id)])
        else:
            store.users.delete(user_id)
        known = {user_id for user_id in IDS if store.users.get(user_id)}
        with store.database.reading() as connection:
            leads = targets_of(store.database, connection, IDS)
        assert set(leads.values()) <= known
        assert not leads.keys() & known


def test_writes_during_merges(store: Store) -> None:
    """Every event is stored once, and none leaves a guest behind."""
    store.users.record([User("guest")])

    def work(number: int) -> None:
        if number == 7:
            store.users.merge("ann", "guest")
        store.events.record(happened((f"e{number}", "liked", "guest", f"i{number % 3}", number)))
        store.ratings.record(incoming(("guest", f"i{number % 3}", 3, number)))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(24)))
    assert {event.user_id for event in store.events.stream()} == {"ann"}
    assert sum(each[0] for each in amounts(store, "ann").values()) == 24
    assert {user for user, _ in stored(store)} == {"ann"}


@pytest.mark.parametrize("kind", ["ratings", "events"])
def test_known_users_cost_no_look_up(store: Store, kind: str) -> None:
    """They are written without the table, even."""
    store.users.record([User("ann")])
    with store.database.writing() as connection:
        connection.execute(sa.text("DROP TABLE redirects"))
    if kind == "ratings":
        assert store.ratings.record(incoming(("ann", "x", 5, 1))).status.tolist() == [STORED]
    else:
        assert store.events.record(happened(("e", "clicked", "ann", "x", 1))).tolist() == [STORED]
