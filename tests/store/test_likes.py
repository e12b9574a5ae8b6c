"""What users like of each item, by ratings and events, on both databases."""

import numpy as np
import pytest

from app.algorithms.labels import POSITIVE, TypeWeights, label_pairs
from app.entities import EventType
from app.store import Store
from tests.support.events import happened
from tests.support.ratings import incoming


def counted(store: Store, liked_from: float = 4.0) -> dict[str, tuple[int, int]]:
    """Item -> how many users chose it, and how many of them liked it."""
    by_item = store.likes.by_item(liked_from)
    names = store.items.ids_of(by_item.item_key.tolist())
    columns = (column.tolist() for column in by_item)
    return {names[key]: (choices, likes) for key, choices, likes in zip(*columns, strict=True)}


def test_ratings_and_events(store: Store) -> None:
    assert counted(store) == {}
    store.ratings.record(incoming(("ann", "x", 0.5, 1), ("bob", "x", 4, 1), ("cyd", "x", 3.5, 1), ("ann", "low", 1, 1)))
    store.events.record(happened(("e1", "clicked", "ann", "y", 5), ("e2", "shown", "bob", "y", 5)))
    assert counted(store) == {"x": (3, 1), "low": (1, 0), "y": (1, 1)}
    assert counted(store, 3.5)["x"] == (3, 2)
    # A rating says more than the events of its pair, and nothing that is taken back counts.
    store.ratings.record(incoming(("ann", "y", 1, 6)))
    store.ratings.remove("bob", "x", at=20)
    assert counted(store) == {"x": (2, 0), "low": (1, 0), "y": (1, 0)}


@pytest.mark.parametrize("seed", range(3))
def test_labels_as_learned(store: Store, seed: int) -> None:
    """The label of a pair by SQL is that of `label_pairs`."""
    rng = np.random.default_rng(seed)
    weights = {"liked": 2.0, "shown": 0.0, "skipped": -1.5, "watched": 0.5}
    for name, weight in weights.items():
        store.events.put_type(EventType(name, weight, is_exposure=name == "shown"))
    names, pairs, portions = [*weights], rng.integers(0, 12, 60), rng.choice([0.0, 0.3, 1.0, np.nan], 60)
    types = rng.integers(0, 4, 60)
    rows = [
        (
            f"e{n}",
            names[types[n]],
            f"u{pairs[n] // 4}",
            f"i{pairs[n] % 4}",
            n,
            None if np.isnan(portions[n]) else portions[n],
        )
        for n in range(60)
    ]
    store.events.record(happened(*rows))
    stored = store.training_reads.load()
    events, declared = stored.interactions, stored.event_types
    cells, pair = np.unique(events.user_key * 1_000 + events.item_key, return_inverse=True)
    known = TypeWeights(declared.type_key, declared.weight, declared.is_exposure)
    labels = label_pairs(known, pair, len(cells), events.type_key, events.count, events.portion).labels
    liked = np.bincount(cells[labels == POSITIVE] % 1_000)
    by_item = store.likes.by_item(4.0)
    assert len(by_item.item_key) > 0
    assert dict(zip(by_item.item_key.tolist(), by_item.likes.tolist(), strict=True)) == {
        key: int(n) for key, n in enumerate(liked) if n
    }
