"""Trend scores by liked ratings and events, for all countries and by country, each worth half after three days."""

import math

import numpy as np
import pytest

from app.entities import EventType, RatingScale, User
from app.store import Store
from app.store.signals import DAY
from app.store.trends import HALF_LIFE, LANDMARK
from tests.support.events import happened
from tests.support.ratings import incoming
from tests.support.runs import judge_all

NOW = LANDMARK + 1_000 * HALF_LIFE


def trend_scores(store: Store, country: str = "", n: int | None = None) -> dict[str, float]:
    keys, scores = store.trends.top_trending(country, n)
    names = store.items.ids_of(keys.tolist())
    return {names[key]: each for key, each in zip(keys.tolist(), scores.tolist(), strict=True)}


def test_score_by_hand(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 4, LANDMARK), ("bob", "x", 5, LANDMARK), ("ann", "y", 5, LANDMARK)))
    assert trend_scores(store) == {"x": 1, "y": 0}
    store.events.record(happened(("e1", "watched", "ann", "y", LANDMARK + HALF_LIFE, 0.75)))
    assert trend_scores(store) == {"y": pytest.approx(2), "x": 1}  # 1 + 2 x 0.75 x 2
    assert list(trend_scores(store)) == ["y", "x"]
    assert trend_scores(store, n=1) == {"y": pytest.approx(2)}


def test_only_what_speaks_for_items(store: Store) -> None:
    store.ratings.record(incoming(("ann", "untimed", 5), ("ann", "x", 4, NOW), ("ann", "w", 3, NOW)))
    store.events.record(
        happened(
            ("e1", "shown", "ann", "y", NOW), ("e2", "disliked", "ann", "y", NOW), ("e3", "watched", "a", "y", 0, 0)
        )
    )
    assert trend_scores(store) == {"x": 1_000}


def test_changed_mind(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 5, NOW), ("ann", "y", 5, NOW)))
    store.ratings.record(incoming(("ann", "x", 2, NOW + 1), ("ann", "y", 4, NOW + HALF_LIFE)))
    assert trend_scores(store) == {"y": 1_001}
    store.ratings.remove("ann", "y", at=NOW + 2 * HALF_LIFE)
    assert trend_scores(store) == {}


def test_once_a_day(store: Store) -> None:
    """The strongest signal of the day counts, whatever came first."""
    store.events.record(happened(*[(f"e{n}", "clicked", "ann", "x", LANDMARK) for n in range(5)]))
    assert trend_scores(store) == {"x": 0}
    store.events.record(happened(("e5", "liked", "ann", "x", LANDMARK), ("e6", "clicked", "ann", "x", LANDMARK)))
    store.ratings.record(incoming(("ann", "x", 5, LANDMARK)))
    assert trend_scores(store) == {"x": pytest.approx(1)}
    store.events.record(happened(("e7", "liked", "bob", "x", LANDMARK), ("e8", "liked", "ann", "x", LANDMARK + DAY)))
    assert trend_scores(store) == {"x": pytest.approx(math.log2(4 + 2 * 2 ** (DAY / HALF_LIFE)))}


@pytest.mark.parametrize("age", [1, 30, 800])
def test_old_trend_survives(store: Store, age: int) -> None:
    """What an item was liked long ago remains when something new, which counts 2^age times as much, is taken back."""
    store.ratings.record(incoming(("ann", "x", 5, NOW - age * HALF_LIFE), ("bob", "x", 5, NOW)))
    store.ratings.remove("bob", "x", at=NOW)
    assert trend_scores(store) == {"x": pytest.approx(1_000 - age, abs=1e-9)}


def test_values_that_are_no_scale(store: Store) -> None:
    store.instance.set_scale(RatingScale.parse("amounts"))
    store.ratings.record(incoming(("ann", "x", 0.5, NOW), ("bob", "x", 700, NOW)))
    assert trend_scores(store) == {"x": 1_001}


def test_another_scale(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 4, NOW), ("ann", "y", 5, NOW)))
    store.instance.set_scale(RatingScale(0, 10))
    assert trend_scores(store) == {}
    store.instance.set_scale(RatingScale(0, 6))
    assert trend_scores(store) == {"y": 1_000}


def test_another_weight(store: Store) -> None:
    store.users.record([User("ann", country="FI")])
    store.events.record(happened(("e1", "clicked", "ann", "x", NOW), ("e2", "liked", "ann", "y", NOW)))
    store.events.put_type(EventType("clicked", 8))
    assert trend_scores(store) == trend_scores(store, "FI") == {"x": 1_003, "y": 1_001}
    store.events.put_type(EventType("clicked", -1))
    assert trend_scores(store) == trend_scores(store, "FI") == {"y": 1_001}


def test_by_country(store: Store) -> None:
    store.users.record([User("ann", country="FI"), User("bob", country="SE")])
    store.ratings.record(incoming(("ann", "x", 5, NOW), ("bob", "y", 5, NOW), ("cy", "z", 5, NOW)))
    store.events.record(happened(("e1", "clicked", "ann", "y", NOW)))
    assert trend_scores(store, "FI") == {"x": 1_000, "y": 1_000}
    assert trend_scores(store, "SE") == {"y": 1_000}
    assert trend_scores(store) == {"y": 1_001, "z": 1_000, "x": 1_000}
    assert trend_scores(store, "NO") == {}
    store.users.record([User("ann", country="NO"), User("bob")])
    assert (trend_scores(store, "FI"), trend_scores(store, "SE")) == ({}, {})
    assert trend_scores(store, "NO") == {"x": 1_000, "y": 1_000}
    assert trend_scores(store) == {"y": 1_001, "z": 1_000, "x": 1_000}


def test_ages_far_apart(store: Store) -> None:
    ancient, future = -60_000_000_000_000_000, 250_000_000_000_000_000
    for number, at in enumerate((ancient, future, ancient)):
        store.events.record(happened((f"e{number}", "clicked", "ann", "x", at)))
    assert trend_scores(store) == {"x": pytest.approx((future - LANDMARK) / HALF_LIFE)}


def test_sum_of_many(store: Store) -> None:
    """One at a time as well as all at once: the same score."""
    times = (NOW + np.random.default_rng(0).uniform(-5, 5, 40) * HALF_LIFE).astype(int).tolist()
    store.ratings.record(incoming(*[(f"u{number}", "once", 5, at) for number, at in enumerate(times)]))
    for number, at in enumerate(times):
        store.ratings.record(incoming((f"u{number}", "by one", 5, at)))
    exact = 1_000 + math.log2(math.fsum(2 ** ((at - NOW) / HALF_LIFE) for at in times))
    assert trend_scores(store) == {"once": pytest.approx(exact, abs=1e-9), "by one": pytest.approx(exact, abs=1e-9)}


def test_held_back_among_the_highest(store: Store) -> None:
    """Where most of the sums that were read are held back, an item below them may come before them."""
    now = store.database.now()
    known = [(f"known-{n}", f"hit-{item}", 5.0, now) for n in range(7) for item in range(51)]
    store.ratings.record(incoming(*known, *((f"known-{n}", "next", 5.0, now) for n in range(5))))
    judge_all(store)
    store.ratings.record(incoming(*((f"new-{n}", f"pushed-{item}", 5.0, now) for n in range(6) for item in range(149))))
    best = list(trend_scores(store, n=100))
    assert all(item.startswith("hit-") for item in best[:51])
    assert best[51] == "next"
    assert all(item.startswith("pushed-") for item in best[52:])
