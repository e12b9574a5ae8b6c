"""Placements, and the version that every request reads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.errors import ChangedMeanwhileError, NotFoundError
from app.store import REPLACED, STORED, UNCHANGED, Store
from app.store.placements import KEPT_VERSIONS, CurrentPlacement


def version(store: Store) -> int:
    return store.users.freshness("nobody").placements_version


def test_placement_round_trip(store: Store) -> None:
    settings = {"diversity": 0.5, "promoted": ["x", "Ü"], "caps": {"Drama": 2}}
    assert store.placements.put("home", settings) == (STORED, 1)
    assert store.placements.current("home") == (1, settings)
    assert store.placements.all() == {"home": settings}
    assert store.placements.current("email") == (0, None)


def test_every_change_counts(store: Store) -> None:
    assert version(store) == 0
    store.placements.put("home", {"novelty": 1})
    assert store.placements.put("home", {"novelty": 1}) == (UNCHANGED, 1)
    assert version(store) == 1
    assert store.placements.put("home", {"novelty": True}) == (REPLACED, 2)
    assert version(store) == 2
    assert store.placements.delete("home")
    assert not store.placements.delete("home")
    assert store.placements.read() == (3, {})
    assert version(store) == 3


def test_put_at_once(store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        changes = list(threads.map(lambda _: store.placements.put("home", {"novelty": 0.1}), range(16)))
    assert sorted(change.status for change in changes) == [STORED] + [UNCHANGED] * 15
    assert version(store) == 1
    assert len(store.placements.versions("home", 10)) == 1


def test_every_change_is_a_version(store: Store) -> None:
    began_at = store.jobs.now()
    store.placements.put("home", {"novelty": 1}, changed_by="ann's key")
    store.placements.put("home", {"novelty": 1}, changed_by="bob's key")
    store.placements.put("other", {"novelty": 2})
    store.placements.delete("home", changed_by="bob's key")
    store.placements.delete("home", changed_by="ann's key")
    store.placements.put("home", {"novelty": 3})
    found = store.placements.versions("home", 10)
    assert [(each.number, each.settings, each.changed_by) for each in found] == [
        (3, {"novelty": 3}, None),
        (2, None, "bob's key"),
        (1, {"novelty": 1}, "ann's key"),
    ]
    assert began_at <= found[2].changed_at <= found[1].changed_at <= found[0].changed_at <= store.jobs.now()
    assert store.placements.versions("home", 2) == found[:2]
    assert store.placements.version("home", 2) == found[1]
    assert store.placements.versions("email", 10) == []
    for name, number in (("home", 4), ("email", 1)):
        with pytest.raises(NotFoundError):
            store.placements.version(name, number)


def test_current_numbers(store: Store) -> None:
    store.placements.put("home", {"novelty": 1})
    store.placements.put("email", {})
    store.placements.delete("email")
    current = {"email": CurrentPlacement(2, None), "home": CurrentPlacement(1, {"novelty": 1})}
    assert store.placements.all_current() == current
    assert store.placements.current("email") == current["email"]


def test_newest_versions_are_kept(store: Store) -> None:
    store.placements.put("other", {})
    for novelty in range(KEPT_VERSIONS + 2):
        store.placements.put("home", {"novelty": novelty})
    numbers = [each.number for each in store.placements.versions("home", 1_000)]
    assert numbers == list(range(KEPT_VERSIONS + 2, 2, -1))
    assert len(store.placements.versions("other", 10)) == 1


def test_other_version_is_expected(store: Store) -> None:
    store.placements.put("home", {"novelty": 1})
    store.placements.put("home", {"novelty": 2})
    before, counted = store.placements.versions("home", 10), version(store)
    for change in (
        lambda: store.placements.put("home", {"novelty": 3}, expected={1}),
        lambda: store.placements.delete("home", expected={1, 3}),
        lambda: store.placements.put("email", {}, expected={1}),
        lambda: store.placements.put("home", {"novelty": 3}, expected=()),
    ):
        with pytest.raises(ChangedMeanwhileError) as caught:
            change()
        assert caught.value.current_version in {0, 2}
    assert (store.placements.versions("home", 10), version(store)) == (before, counted)
    assert store.placements.put("home", {"novelty": 3}, expected={1, 2}) == (REPLACED, 3)
    assert store.placements.delete("home", expected={3})
    assert store.placements.put("home", {"novelty": 3}, expected={4}) == (STORED, 5)
    assert store.placements.put("email", {}, expected={0}) == (STORED, 1)


def test_repeated_change_is_no_conflict(store: Store) -> None:
    """A caller who lost the answer sends the change again, and still expects the version before it."""
    store.placements.put("home", {"novelty": 1})
    store.placements.put("home", {"novelty": 2}, expected={1})
    assert store.placements.put("home", {"novelty": 2}, expected={1}) == (UNCHANGED, 2)
    assert store.placements.delete("home", expected={2})
    assert not store.placements.delete("home", expected={2})


def test_one_of_two_writers_wins(store: Store, database_url: str, tmp_path: Path) -> None:
    """Two processes whose operators have seen the same version."""
    other = Store.open(database_url, tmp_path)
    store.placements.put("home", {"novelty": 0})

    def change(novelty: int) -> bool:
        try:
            (store, other)[novelty % 2].placements.put("home", {"novelty": novelty}, expected={1})
        except ChangedMeanwhileError as error:
            return error.current_version != 2
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(change, range(1, 9)))
    other.close()
    assert sum(won) == 1
    newest, first = store.placements.versions("home", 10)
    assert (newest.number, newest.settings, first.number) == (2, {"novelty": won.index(True) + 1}, 1)


def test_no_version_is_lost(store: Store, database_url: str, tmp_path: Path) -> None:
    other = Store.open(database_url, tmp_path)

    def change(novelty: int) -> int:
        return (store, other)[novelty % 2].placements.put("home", {"novelty": novelty}).number

    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(change, range(24)))
    other.close()
    assert sorted(numbers) == list(range(1, 25))
    kept = {each.number: each.settings for each in store.placements.versions("home", 100)}
    assert kept == {number: {"novelty": novelty} for novelty, number in enumerate(numbers)}
    assert store.placements.current("home") == (24, kept[24])
