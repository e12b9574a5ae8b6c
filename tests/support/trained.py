"""A store with tasteful ratings and a snapshot really learned from them."""

from pathlib import Path
from typing import Any

from app.entities import Item
from app.serving.retrieval import sources_of
from app.snapshots.folders import SnapshotFolders
from app.store import Store
from app.training.publisher import Publisher
from app.training.run import Trainer
from tests.support.user_states import tasteful_ratings

N_RATED, N_UNRATED = 60, 5

RATED_LIGHTLY = {
    "segments": [
        {"name": "rating", "algorithm": "funk_svd"},
        {"name": "taste", "algorithm": "als_implicit"},
        {"name": "popularity", "algorithm": "popularity"},
    ]
}
"""A recipe that is learned in a second."""


def fill(store: Store) -> None:
    """60 rated items in two categories, named `item-0` ...; 5 without ratings, `unrated-0` ...; 120 users."""
    titled = [
        Item(f"item-{n}", title=f"Item {n}", categories=("even" if n % 2 == 0 else "odd", "all"))
        for n in range(N_RATED)
    ]
    store.items.record([*titled, *(Item(f"unrated-{n}") for n in range(N_UNRATED))])
    store.ratings.record(tasteful_ratings())


def train(store: Store, data_dir: Path, seed: int = 0, recipe: dict[str, Any] | None = None) -> int:
    """Publish a snapshot; its version."""
    store.jobs.enqueue("request", seed=seed, recipe=recipe)
    claim = store.jobs.claim("a-worker", lease_seconds=60)
    if claim is None:
        raise LookupError("no job to claim")
    return Trainer(store, Publisher(store, SnapshotFolders(data_dir), sources_of=sources_of)).run(claim)
