"""What training reads, on both databases."""

import numpy as np

from app.entities import UNKNOWN_TIME, Item
from app.store import Store
from tests.support.events import happened
from tests.support.interactions import record_interactions
from tests.support.ratings import incoming


def test_load_is_whole(store: Store) -> None:
    store.items.record([Item("unrated")])
    store.ratings.record(incoming(("ann", "x", 3, 10), ("bob", "y", 4, 30)))
    store.ratings.remove("bob", "y", at=40)
    data = store.training_reads.load()
    assert data.ratings.value.tolist() == [3]
    assert data.ratings.rated_at.dtype == np.int64
    assert len(data.item_keys) == 3
    assert data.user_versions.tolist() == [1, 2]
    assert data.change_count == 3
    assert data.newest_rated_at == 10


def test_load_interactions(store: Store) -> None:
    record_interactions(store, [("ann", "y", "watched", 3, 0.5), ("ann", "x", "shown"), ("ann", "y", "clicked", 2)])
    data = store.training_reads.load()
    of_types = dict(zip(data.event_types.type_key.tolist(), data.event_types.weight.tolist(), strict=True))
    found = data.interactions
    assert [data.item_keys.tolist().index(key) for key in found.item_key.tolist()] == [0, 0, 1]
    assert [of_types[key] for key in found.type_key.tolist()] == [1, 2, 0]
    assert found.count.tolist() == [2, 3, 1]
    np.testing.assert_array_equal(found.portion, [np.nan, 0.5, np.nan])
    assert data.event_types.is_exposure.sum() == 1
    assert data.user_profile_versions.tolist() == [6]
    assert store.training_reads.change_counts() == (0, 6)


def test_direct_users(store: Store) -> None:
    """Who rates or acts through the API, or takes a guest over, is no user of files alone."""
    store.ratings.record(incoming(("file", "x", 3, 10), ("both", "x", 3, 10), ("merged", "x", 3, 10)))
    store.ratings.record(incoming(("api", "x", 3), ("both", "y", 3, 20)), untimed_at=np.array([30, 30]))
    store.events.record(happened(("1", "watched", "file", "y", 10)))
    store.events.record(happened(("2", "watched", "acts", "y", 10), ("3", "watched", "guest", "y", 10)), is_direct=True)
    store.users.merge("merged", "guest")
    data = store.training_reads.load()
    names = store.users.ids_of(data.user_keys.tolist())
    direct = {names[key] for key in data.user_keys[data.is_direct].tolist()}
    assert direct == {"both", "merged", "api", "acts"}


def test_load_empty(store: Store) -> None:
    data = store.training_reads.load()
    assert len(data.ratings) == 0
    assert data.newest_rated_at == UNKNOWN_TIME
