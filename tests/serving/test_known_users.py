"""Surrogate keys of users in memory."""

import pytest

from app.entities import User
from app.serving import known_users
from app.serving.known_users import REREAD_SECONDS, KnownUsers
from app.store import Store

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Clock:
    now = 1e3

    def __call__(self) -> float:
        return self.now


def keys_of(store: Store, *user_ids: str) -> list[int | None]:
    return [store.users.freshness(user_id).user_key for user_id in user_ids]


def test_all_users(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some in the sorted arrays, some that came later."""
    monkeypatch.setattr(known_users, "MAX_NEWER", 10)
    ids = [f"u{n}" for n in range(25)]
    known = KnownUsers(store.users)
    for start in range(0, 25, 5):
        store.users.record([User(user_id) for user_id in ids[start : start + 5]])
        known.refresh("g", 0)
    assert [known.key_of(user_id) for user_id in ids] == keys_of(store, *ids)
    assert known.key_of("nobody") is None
    assert known.key_of("") is None


def test_seen_comes_first(store: Store) -> None:
    store.users.record([User("ann")])
    known = KnownUsers(store.users)
    known.refresh("g", 0)
    known.note("ann", None)  # a request has found that ann was deleted
    known.note("new", 99)
    assert (known.key_of("ann"), known.key_of("new")) == (None, 99)


def test_deleted_elsewhere(store: Store) -> None:
    """Found when the counter grows, at most once a minute; at once after a restore."""
    clock = Clock()
    store.users.record([User("ann"), User("bob")])
    known = KnownUsers(store.users, clock)
    known.refresh("g", 0)
    store.users.delete("ann")
    known.refresh("g", 1)
    assert known.key_of("ann") is not None
    clock.now += REREAD_SECONDS + 1
    known.refresh("g", 1)
    assert known.key_of("ann") is None
    assert known.key_of("bob") is not None
    store.users.delete("bob")
    known.note("bob", 2)
    known.refresh("another", 1)
    assert known.key_of("bob") is None
