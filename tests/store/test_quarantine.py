import numpy as np
import pytest
from numpy.typing import NDArray

from app.entities import Item, User
from app.errors import NotFoundError
from app.store import Store
from app.store.jobs import LeaseLostError
from tests.support.runs import claimed


def keys_of(store: Store) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    data = store.training_reads.load()
    return data.user_keys, data.item_keys


def test_quarantine(store: Store) -> None:
    store.users.record([User("ann"), User("bob"), User("cem")])
    store.items.record([Item("x")])
    users, (item,) = keys_of(store)
    claim = claimed(store)
    store.quarantine.replace(claim, users[:2], np.array([item, item]))
    assert [(each.user_id, each.item_id) for each in store.quarantine.entries(9)] == [("ann", "x"), ("bob", "x")]
    store.quarantine.release("bob")
    assert store.quarantine.released().tolist() == [users[1]]
    with pytest.raises(NotFoundError):
        store.quarantine.release("cem")
    # What a later run finds replaces what an earlier one found; the released stay released.
    store.quarantine.replace(claim, users[1:], np.array([item, item]))
    entries = {each.user_id: each.released_at is None for each in store.quarantine.entries(9)}
    assert entries == {"bob": False, "cem": True}
    store.items.delete("x")
    assert {each.item_id for each in store.quarantine.entries(9)} == {None}
    nobody = np.empty(0, np.int64)
    store.quarantine.replace(claim, nobody, nobody)
    assert [each.user_id for each in store.quarantine.entries(9)] == ["bob"]


def test_users_who_go(store: Store) -> None:
    """Neither a deleted user nor a merged guest leaves anything behind."""
    store.users.record([User("ann"), User("guest"), User("gone")])
    store.items.record([Item("x")])
    users, (item,) = keys_of(store)
    claim = claimed(store)
    store.users.delete("gone")
    store.quarantine.replace(claim, users, np.full(3, item))
    assert [each.user_id for each in store.quarantine.entries(9)] == ["ann", "guest"]
    store.users.merge("ann", "guest")
    store.users.delete("ann")
    store.quarantine.replace(claim, np.empty(0, np.int64), np.empty(0, np.int64))
    assert store.quarantine.released().tolist() == []
    assert store.quarantine.entries(9) == []


def test_lost_lease(store: Store) -> None:
    """A worker that was stopped for long writes no stale quarantine."""
    store.users.record([User("ann"), User("bob")])
    store.items.record([Item("x")])
    users, (item,) = keys_of(store)
    stale = claimed(store, lease_seconds=0.0)
    taken = store.jobs.claim("another", lease_seconds=60)
    assert taken is not None
    store.quarantine.replace(taken, users[:1], np.array([item]))
    with pytest.raises(LeaseLostError):
        store.quarantine.replace(stale, users[1:], np.array([item]))
    assert [each.user_id for each in store.quarantine.entries(9)] == ["ann"]
