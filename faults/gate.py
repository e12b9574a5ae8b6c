"""Candidates that were spoilt on their way to publication, and good ones: the first are refused, the others are not.

A run learns, is measured and passes the gate. What it fitted on everything is then spoilt, in one of many ways, before
it is written with valid checksums.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
from structlog.testing import capture_logs

from app.errors import ReckonError
from app.snapshots.arrays import SnapshotArrays
from app.training import publisher
from faults.trial import Figure, Trial
from tests.support.published import Shop, live_version, opened_shop
from tests.support.ratings import incoming
from tests.support.user_states import tasteful_ratings

Sabotage = Callable[[SnapshotArrays, np.random.Generator], SnapshotArrays]
QUICK = {
    "segments": [
        {"name": "rating", "algorithm": "funk_svd"},
        {"name": "taste", "algorithm": "als_implicit"},
        {"name": "popularity", "algorithm": "popularity"},
    ]
}


def _vectors(change: Callable[[Any, np.random.Generator], Any], *sides: str) -> Sabotage:
    def sabotage(arrays: SnapshotArrays, rng: np.random.Generator) -> SnapshotArrays:
        changed = {side: change(getattr(arrays, side).copy(), rng).astype(np.float32) for side in sides}
        return replace(arrays, **changed)

    return sabotage


def _nan(vectors: Any, rng: np.random.Generator) -> Any:
    vectors[rng.integers(len(vectors))] = np.nan
    return vectors


def _half_lost(vectors: Any, rng: np.random.Generator) -> Any:
    vectors[rng.permutation(len(vectors))[::2]] = 0
    return vectors


def _half_of_the_items(arrays: SnapshotArrays, _rng: np.random.Generator) -> SnapshotArrays:
    """As if the other half had not been read; all that names rows of items is emptied."""
    n = len(arrays.item_keys) // 2
    keys = np.concatenate([arrays.item_keys[:n], arrays.item_keys[n:] + 1_000_000])
    return replace(arrays, item_keys=keys)


def _popularity_only(vectors: Any, _rng: np.random.Generator) -> Any:
    # Columns are padded to 16; popularity is the last that any user has.
    last = np.flatnonzero(vectors.any(axis=0))[-1]
    alone = np.zeros_like(vectors)
    alone[:, last] = vectors[:, last]
    return alone


SABOTAGE: dict[str, Sabotage] = {
    "NaN among the items": _vectors(_nan, "item_vectors"),
    "NaN among the users": _vectors(_nan, "user_vectors"),
    "infinite": _vectors(lambda vectors, _rng: vectors + np.inf, "item_vectors"),
    "items permuted": _vectors(lambda vectors, rng: rng.permutation(vectors), "item_vectors"),
    "users permuted": _vectors(lambda vectors, rng: rng.permutation(vectors), "user_vectors"),
    "items zeroed": _vectors(lambda vectors, _rng: vectors * 0, "item_vectors"),
    "users zeroed": _vectors(lambda vectors, _rng: vectors * 0, "user_vectors"),
    "noise for items": _vectors(lambda vectors, rng: rng.normal(size=vectors.shape), "item_vectors"),
    "noise for users": _vectors(lambda vectors, rng: rng.normal(size=vectors.shape), "user_vectors"),
    "popularity only": _vectors(_popularity_only, "user_vectors"),
    "half of the items": _half_of_the_items,
    "half of the vectors": _vectors(_half_lost, "item_vectors"),
    "upside down": _vectors(lambda vectors, _rng: -vectors, "user_vectors"),
    "items on another scale": _vectors(lambda vectors, _rng: vectors * 20, "item_vectors"),
    "one item for all": _vectors(lambda vectors, _rng: np.repeat(vectors[:1], len(vectors), axis=0), "item_vectors"),
    "one user for all": _vectors(lambda vectors, _rng: np.repeat(vectors[:1], len(vectors), axis=0), "user_vectors"),
}


def run(trial: Trial) -> Iterator[Figure]:
    n = trial.times(test=2, short=8, long=50)
    names = trial.choose.sample(list(SABOTAGE), len(SABOTAGE))
    chosen = [names[k % len(names)] for k in range(n)]
    if trial.size == "test":
        chosen = ["items permuted", "popularity only"]
    with capture_logs(), opened_shop(trial.fresh_folder("shop"), tasteful_ratings()) as shop:
        shop.train(QUICK)
        before = live_version(shop.store)
        missed = []
        for seed, name in enumerate(chosen):
            rng = np.random.default_rng([trial.seed, seed])
            with spoilt(SABOTAGE[name], rng):
                if _publishes(shop, seed) or live_version(shop.store) != before:
                    missed.append(name)
                    before = live_version(shop.store)
        seen = f"{n - len(missed)} of {n}" + (f"; not: {', '.join(missed)}" if missed else "")
        yield Figure("sabotaged snapshots refused", "all", seen, is_reached=not missed)
        refused = sum(not _publishes_good(shop, seed) for seed in range(n))
        yield Figure("good snapshots refused", "0", f"{refused} of {n}", is_reached=refused == 0)


def _publishes_good(shop: Shop, seed: int) -> bool:
    """With another seed, and a little more data."""
    shop.store.ratings.record(incoming((f"user-{seed}", f"item-{seed % 60}", 4.0, 10**15 + seed)))
    return _publishes(shop, 1_000 + seed)


def _publishes(shop: Shop, seed: int) -> bool:
    try:
        shop.train(QUICK, seed=seed)
    except ReckonError:
        return False
    return True


@contextmanager
def spoilt(sabotage: Sabotage, rng: np.random.Generator) -> Iterator[None]:
    assemble = publisher.assemble
    with patch.object(publisher, "assemble", lambda *parts: sabotage(assemble(*parts), rng)):
        yield
