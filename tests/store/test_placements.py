"""Placements, and the version that every request reads."""

from concurrent.futures import ThreadPoolExecutor

from app.store import REPLACED, STORED, UNCHANGED, Store


def version(store: Store) -> int:
    return store.users.freshness("nobody").placements_version


def test_placement_round_trip(store: Store) -> None:
    settings = {"diversity": 0.5, "promoted": ["x", "Ü"], "caps": {"Drama": 2}}
    assert store.placements.put("home", settings) == STORED
    assert store.placements.get("home") == settings
    assert store.placements.all() == {"home": settings}
    assert store.placements.get("email") is None


def test_every_change_counts(store: Store) -> None:
    assert version(store) == 0
    store.placements.put("home", {"novelty": 1})
    assert store.placements.put("home", {"novelty": 1}) == UNCHANGED
    assert version(store) == 1
    assert store.placements.put("home", {"novelty": True}) == REPLACED
    assert version(store) == 2
    assert store.placements.delete("home")
    assert not store.placements.delete("home")
    assert store.placements.read() == (3, {})
    assert version(store) == 3


def test_put_at_once(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: store.placements.put("home", {"novelty": 0.1}), range(16)))
    assert sorted(statuses) == [STORED] + [UNCHANGED] * 15
    assert version(store) == 1
