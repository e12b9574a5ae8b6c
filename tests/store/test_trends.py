"""Trend scores by ratings and events, for all countries and by country, each worth half after three days."""

import math

import numpy as np
import pytest

from app.entities import User
from app.store import Store
from app.store.trends import HALF_LIFE, LANDMARK
from tests.support.events import happened
from tests.support.ratings import incoming

NOW = LANDMARK + 1_000 * HALF_LIFE


def trend_scores(store: Store, country: str = "", n: int | None = None) -> dict[str, float]:
    keys, scores = store.trends.top_trending(country, n)
    names = store.items.ids_of(keys.tolist())
    return {names[key]: each for key, each in zip(keys.tolist(), scores.tolist(), strict=True)}


def test_score_by_hand(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3, LANDMARK), ("bob", "x", 3, LANDMARK), ("ann", "y", 1, LANDMARK)))
    assert trend_scores(store) == {"x": 1, "y": 0}
    store.events.record(happened(("e1", "watched", "ann", "y", LANDMARK + HALF_LIFE, 0.75)))
    assert trend_scores(store) == {"y": pytest.approx(2), "x": 1}  # 1 + 2 x 0.75 x 2
    assert list(trend_scores(store)) == ["y", "x"]
    assert trend_scores(store, n=1) == {"y": pytest.approx(2)}


def test_only_what_speaks_for_items(store: Store) -> None:
    store.ratings.record(incoming(("ann", "untimed", 3), ("ann", "x", 3, NOW)))
    store.ratings.record(incoming(("ann", "x", 5, NOW + HALF_LIFE)))  # replaces a rating
    store.events.record(
        happened(
            ("e1", "shown", "ann", "y", NOW), ("e2", "disliked", "ann", "y", NOW), ("e3", "watched", "a", "y", 0, 0)
        )
    )
    assert trend_scores(store) == {"x": 1_000}


def test_by_country(store: Store) -> None:
    store.users.record([User("ann", country="FI"), User("bob", country="SE")])
    store.ratings.record(incoming(("ann", "x", 3, NOW), ("bob", "y", 3, NOW), ("cy", "z", 3, NOW)))
    store.events.record(happened(("e1", "clicked", "ann", "y", NOW)))
    assert trend_scores(store, "FI") == {"x": 1_000, "y": 1_000}
    assert trend_scores(store, "SE") == {"y": 1_000}
    assert trend_scores(store) == {"y": 1_001, "z": 1_000, "x": 1_000}
    assert trend_scores(store, "NO") == {}


def test_ages_far_apart(store: Store) -> None:
    ancient, future = -60_000_000_000_000_000, 250_000_000_000_000_000
    for number, at in enumerate((ancient, future, ancient)):
        store.events.record(happened((f"e{number}", "clicked", "ann", "x", at)))
    assert trend_scores(store) == {"x": pytest.approx((future - LANDMARK) / HALF_LIFE)}


def test_sum_of_many(store: Store) -> None:
    """One at a time as well as all at once: the same score."""
    times = (NOW + np.random.default_rng(0).uniform(-5, 5, 40) * HALF_LIFE).astype(int).tolist()
    store.ratings.record(incoming(*[(f"u{number}", "once", 3, at) for number, at in enumerate(times)]))
    for number, at in enumerate(times):
        store.ratings.record(incoming((f"u{number}", "by one", 3, at)))
    exact = 1_000 + math.log2(math.fsum(2 ** ((at - NOW) / HALF_LIFE) for at in times))
    assert trend_scores(store) == {"once": pytest.approx(exact, abs=1e-9), "by one": pytest.approx(exact, abs=1e-9)}
