"""What is kept of deleted snapshots: their figures, and nothing of a user."""

from typing import Any

import pytest

from app.entities import User
from app.errors import NotFoundError
from app.store import Store, former_snapshots
from app.store.former_snapshots import FEWEST_USERS

CARD: dict[str, Any] = {
    "metrics": {"snapshot": {"ndcg@10": 0.2}},
    "intervals": {"snapshot": {"ndcg@10": [0.1, 0.3]}},
    "counts": {"users": FEWEST_USERS, "ratings": 100},
    "reason": None,
    "accepted": {"reason": "nDCG@10 is not above", "at": "2026-11-01"},
    "choices": ["a sentence"],
    "watermark": {"n_erasures": 0, "newest_rated_at": 1},
}


def publish(store: Store, card: dict[str, Any] = CARD) -> int:
    store.jobs.enqueue("request")
    claim = store.jobs.claim("worker", lease_seconds=60)
    assert claim is not None
    version = store.snapshots.next_version()
    store.snapshots.register(claim, version=version, path=f"snapshots/{version}", card=card)
    return version


def test_figures_stay(store: Store) -> None:
    first, second, third = (publish(store) for _ in range(3))
    created_at = store.snapshots.get(first).created_at
    assert store.former_snapshots.latest() == []
    assert store.snapshots.forget(first)
    assert store.snapshots.forget(second)
    newest, oldest = store.former_snapshots.latest()
    assert (oldest.version, oldest.created_at, oldest.cause) == (first, created_at, "retention")
    assert oldest.deleted_at >= created_at
    assert oldest.card == {name: CARD[name] for name in ("metrics", "intervals", "counts", "reason", "accepted")}
    assert store.former_snapshots.latest(limit=1) == [newest]
    assert store.former_snapshots.count() == 2
    assert third == store.snapshots.entries()[0].version


def test_register_knows_none_of_them(store: Store) -> None:
    first, second = publish(store), publish(store)
    assert store.snapshots.forget(first)
    assert not store.snapshots.forget(first)
    assert [entry.version for entry in store.snapshots.entries()] == [second]
    for read in (store.snapshots.get, store.snapshots.activate):
        with pytest.raises(NotFoundError):
            read(first)
    live = store.snapshots.live()
    assert live is not None
    assert live.version == second
    assert store.snapshots.activate(None).version == second


def test_live_one_is_not_deleted(store: Store) -> None:
    version = publish(store)
    assert not store.snapshots.forget(version)
    assert store.former_snapshots.latest() == []


def test_newest_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(former_snapshots, "MOST", 2)
    versions = [publish(store) for _ in range(5)]
    for version in versions[:4]:
        store.snapshots.forget(version)
    assert [each.version for each in store.former_snapshots.latest()] == versions[3:1:-1]


@pytest.mark.parametrize("card", [CARD | {"counts": {"users": FEWEST_USERS - 1}}, CARD | {"counts": {}}, {}])
def test_figures_of_few_users(store: Store, card: dict[str, Any]) -> None:
    """They may tell what one user did, who may be erased at any time."""
    first = publish(store, card)
    publish(store)
    assert store.snapshots.forget(first)
    assert store.former_snapshots.latest() == []


def test_erasure(store: Store) -> None:
    """The snapshots that hold an erased user go, and figures over many users stay."""
    publish(store, CARD | {"choices": ["canary"]})
    held = publish(store)
    publish(store, CARD | {"watermark": {"n_erasures": 9}})
    store.users.record([User("ann")])
    erasure = store.users.delete("ann")
    assert erasure is not None
    versions = store.erasures.retire_snapshots([erasure], with_live=False)
    assert versions == [held - 1, held]
    assert [(each.version, each.cause) for each in store.former_snapshots.latest()] == [
        (held, "erasure"),
        (held - 1, "erasure"),
    ]
    assert "canary" not in str(store.former_snapshots.latest())
