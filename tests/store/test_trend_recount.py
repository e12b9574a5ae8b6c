"""Trends that are counted again in slices, while other writes come."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import sqlalchemy as sa

from app.entities import EventType, User
from app.errors import UnavailableError
from app.store import Store, trend_recount
from app.store import events as store_events
from app.store.schema import trends
from app.store.trend_recount import recount_slices
from app.store.trends import HALF_LIFE, LANDMARK, Judgement, begin_recount, judge, recount_all, recounted_up_to
from tests.support.events import happened
from tests.support.ratings import incoming

NOW = LANDMARK + 1_000 * HALF_LIFE
N_ITEMS = 12


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trend_recount, "SLICE_SIGNALS", 8)


@pytest.fixture
def filled(store: Store) -> Store:
    """Users of two countries and of none with ratings and events, some of the same day."""
    rng = np.random.default_rng(0)
    store.users.record([User(f"u{n}", country=("FI", "SE", None)[n % 3]) for n in range(9)])
    pairs = [(f"u{user}", f"i{item}") for user in range(9) for item in range(N_ITEMS)]
    store.ratings.record(incoming(*((*pair, int(rng.integers(1, 6)), NOW + n) for n, pair in enumerate(pairs))))
    types = [("clicked", "liked")[int(each)] for each in rng.integers(0, 2, len(pairs))]
    store.events.record(
        happened(*((f"e{n}", types[n], *pair, NOW - n % 3 * HALF_LIFE) for n, pair in enumerate(pairs)))
    )
    return store


def sums(store: Store) -> dict[tuple[str, int], tuple[object, int]]:
    with store.database.reading() as connection:
        rows = connection.execute(sa.select(trends.c.country, trends.c.item_key, trends.c.heat, trends.c.n_terms))
        return {(country, item): (pytest.approx(heat, abs=1e-9), n) for country, item, heat, n in rows}


def counted_at_once(store: Store) -> dict[tuple[str, int], tuple[object, int]]:
    with store.database.writing() as connection:
        recount_all(store.database, connection)
    return sums(store)


def reweighed(store: Store, monkeypatch: pytest.MonkeyPatch, weight: float) -> Iterator[None]:
    """The slices of the recount after a change of a weight."""

    def interrupt(_: object) -> None:
        raise UnavailableError("other writers are busy")

    with monkeypatch.context() as patch:
        patch.setattr(store_events, "recount", interrupt)
        store.events.put_type(EventType("clicked", weight))
    return recount_slices(store.database)


WRITES: dict[str, Callable[[Store, int], object]] = {
    "nothing": lambda _store, _n: None,
    "rating": lambda store, n: store.ratings.record(incoming(("u1", f"i{n}", 5, NOW + 10**6), ("v", f"i{n}", 5, NOW))),
    "worse rating": lambda store, n: store.ratings.record(incoming(("u2", f"i{n}", 1, NOW + 10**6))),
    "rating taken back": lambda store, n: store.ratings.remove("u3", f"i{N_ITEMS - 1 - n}", at=NOW + 10**7),
    "event": lambda store, n: store.events.record(happened((f"new {n}", "clicked", "w", f"i{N_ITEMS - 1 - n}", NOW))),
    "event taken back": lambda store, n: store.events.delete(f"e{10 * n}", at=NOW),
    "user deleted": lambda store, n: store.users.delete(f"u{n}"),
    "item deleted": lambda store, n: store.items.delete(f"i{N_ITEMS - 1 - n}"),
    "country": lambda store, n: store.users.record([User(f"u{n}", country="NO")]),
    "merge": lambda store, n: store.users.merge("u8", f"u{n}"),
    "new users": lambda store, _n: judge_first(store, 4),
}


def judge_first(store: Store, n: int) -> None:
    """A training run judges the first n users."""
    with store.database.writing() as connection:
        judge(store.database, connection, Judgement(np.arange(1, n + 1), np.ones(n, np.bool_)))


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("weight", [8.0, 0.25, -1.0])
def test_writes_meanwhile(filled: Store, monkeypatch: pytest.MonkeyPatch, name: str, weight: float) -> None:
    n_slices = 0
    for _ in reweighed(filled, monkeypatch, weight):
        if n_slices < 5:
            WRITES[name](filled, n_slices)
        n_slices += 1
    assert n_slices >= 5
    assert sums(filled) == counted_at_once(filled)


def test_interrupted(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process goes on from where it was interrupted."""
    slices = reweighed(filled, monkeypatch, 8)
    next(slices)
    filled.ratings.record(incoming(("u1", "i0", 5, NOW + 10**6)))
    filled.events.finish_recount()
    assert next(slices, "over") == "over"
    assert sums(filled) == counted_at_once(filled)


def test_two_at_once(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    slices, others = reweighed(filled, monkeypatch, 8), recount_slices(filled.database)
    for _ in slices:
        next(others, None)
    assert sums(filled) == counted_at_once(filled)


def test_another_weight_meanwhile(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins again with the signals by the newest weights."""
    slices = reweighed(filled, monkeypatch, 8)
    next(slices)
    later = reweighed(filled, monkeypatch, 0.5)
    for _ in slices:
        next(later, None)
    assert sums(filled) == counted_at_once(filled)


def test_over(filled: Store) -> None:
    filled.events.put_type(EventType("clicked", 8))
    with filled.database.reading() as connection:
        assert recounted_up_to(connection) is None
    assert list(recount_slices(filled.database)) == []
    with filled.database.writing() as connection:
        begin_recount(connection)
        recount_all(filled.database, connection)
    assert list(recount_slices(filled.database)) == []
