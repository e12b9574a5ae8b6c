"""The pages of one user: every rating and event comes once, and marks say what belongs together."""

import asyncio
from datetime import UTC, datetime

import numpy as np
import pytest

from app.console.timelines import by_period
from app.console.user_page import N_ENTRIES, UserView, lists_view, taste_view, user_view
from app.entities import UNKNOWN_TIME, EventType, IncomingEvents, Item, to_microseconds
from app.wiring import Service
from tests.support.console import Console

PAGE = "/console/users"
USER = "v"


def rate(console: Console, *items: str, value: str = "5") -> None:
    for item in items:
        console.done("/console/try/ratings", {"user": USER, "item": item, "value": value})


def view(service: Service, cursor: str | None = None) -> UserView:
    return asyncio.run(user_view(service, USER, cursor))


def happen(service: Service, n: int, item: str, *, at: int, user_id: str = USER, prefix: str = "e") -> None:
    """`n` views of the item, one a second."""
    service.store.events.put_type(EventType("looked", 1.0))
    service.store.events.record(
        IncomingEvents(
            event_id=[f"{prefix}-{place}" for place in range(n)],
            type=["looked"] * n,
            user_id=[user_id] * n,
            item_id=[item] * n,
            at=at + np.arange(n, dtype=np.int64) * 1_000_000,
            portion=np.full(n, np.nan),
            placement=[None] * n,
            snapshot_version=[None] * n,
            position=[None] * n,
        )
    )


def test_history(console: Console, service: Service) -> None:
    """Two kinds on pages together: all of them, each once, newest first."""
    rate(console, *(f"item-{n}" for n in range(3)))
    happen(service, N_ENTRIES + 10, "item-40", at=1_700_000_000_000_000)
    first = view(service)
    assert [each.what for each in first.history[:4]] == ["rated", "rated", "rated", "looked"]
    assert (len(first.history), first.first) == (N_ENTRIES, "")
    second = view(service, first.next.partition("cursor=")[2])
    assert (len(second.history), second.next, second.first) == (13, "", f"{PAGE}/{USER}")
    times = [each.at for each in (*first.history, *second.history) if each.at is not None]
    assert len(times) == len({*times}) == N_ENTRIES + 13
    assert times == sorted(times, reverse=True)
    assert console.get(f"{PAGE}/{USER}?cursor=x").status_code == 422


def test_marks(console: Console, service: Service) -> None:
    rate(console, "item-3")
    happen(service, 1, "item-5", at=1_700_000_000_000_000)
    shown = view(service)
    ranks = {each.card.item_id: each.rank for each in shown.items}
    rated, looked = shown.history
    assert (rated.value, rated.rank) == ("5", None)
    assert rated.explains == tuple(
        each.rank for each in shown.items if [first.item_id for first in each.reasons.because[:1]] == ["item-3"]
    )
    assert rated.explains
    assert looked.rank == ranks.get("item-5")
    assert {each.card.item_id for each in shown.items if each.is_known} == {*ranks} & {"item-3", "item-5"}
    assert (shown.heading.n_ratings, shown.heading.n_events, shown.heading.strategy) == (1, 1, "fold_in")
    assert f'id="rank-{shown.items[0].rank}"' in console.page(f"{PAGE}/{USER}")


def test_lists(console: Console, service: Service) -> None:
    rate(console, "item-1", "item-2", "item-3", "item-4")
    made = asyncio.run(lists_view(service, USER))
    assert made.rows[0].title == "Picked for you"
    in_rows = [card.item_id for row in made.rows for card in row.cards]
    assert len(in_rows) == len({*in_rows})
    assert made.mixes
    assert "Picked for you" in console.text(f"{PAGE}/{USER}/lists")


def test_taste(console: Console, service: Service) -> None:
    user_id = service.store.users.page(limit=1)[0][1].user_id
    same = asyncio.run(taste_view(service, user_id))
    assert "Nothing has changed" in console.text(f"{PAGE}/{user_id}/taste")
    assert (same.n_changed, same.is_newer, same.heading.strategy) == (0, False, "personalized")
    assert all(each.norm == pytest.approx(each.at_snapshot, rel=1e-4) for each in same.norms)
    assert max(each.share for each in same.norms) == 1
    assert user_id not in {each.user_id for each in same.similar}
    (rating, *_) = service.store.ratings.newest_page(user_id, limit=1)
    console.done("/console/try/ratings/delete", {"user": user_id, "item": rating[1].item_id})
    (changed,) = asyncio.run(taste_view(service, user_id)).changed
    assert (changed.card.item_id, float(changed.before), changed.now) == (rating[1].item_id, rating[1].value, "")
    assert "Nothing has changed" not in console.text(f"{PAGE}/{user_id}/taste")


def test_newer_user(console: Console, service: Service) -> None:
    rate(console, "item-1")
    made = asyncio.run(taste_view(service, USER))
    assert made.is_newer
    assert [(each.before, each.now) for each in made.changed] == [("", "5")]
    assert all(each.at_snapshot is None for each in made.norms)


def test_new_events(console: Console, service: Service) -> None:
    """Events since the snapshot; those before it are not listed, even if they came later."""
    user_id = service.store.users.page(limit=1)[0][1].user_id
    now = to_microseconds(datetime.now(UTC))
    happen(service, 2, "item-5", at=now, user_id=user_id)
    made = asyncio.run(taste_view(service, user_id))
    assert [(each.card.item_id, each.what, each.n) for each in made.new] == [("item-5", "looked", 2)]
    assert (made.n_new, made.n_changed, made.is_profile_changed) == (1, 0, True)
    assert "Item 5 looked 2" in console.text(f"{PAGE}/{user_id}/taste")
    happen(service, 1, "item-6", at=1_600_000_000_000_000, user_id=USER)
    assert [each.card.item_id for each in asyncio.run(taste_view(service, USER)).new] == ["item-6"]
    other = service.store.users.page(limit=2)[1][1].user_id
    happen(service, 1, "item-6", at=1_600_000_000_000_000, user_id=other)
    assert asyncio.run(taste_view(service, other)).new == ()
    assert "Attributes or older events have changed" in console.text(f"{PAGE}/{other}/taste")


def test_by_time(console: Console, service: Service) -> None:
    rate(console, "item-1")
    month = 31 * 86_400_000_000
    now = to_microseconds(datetime.now(UTC))
    for n in (1, 4):
        happen(service, 2, "item-5", at=now - n * month, prefix=f"of-{n}")
    plot = view(service).by_time
    assert plot is not None
    assert plot.columns == ("month", "kind", "number")
    ratings, events = ([n for _, kind, n in plot.rows if kind == name] for name in ("ratings", "events"))
    assert (ratings[-1], sum(ratings), sum(events), events[0]) == (1, 1, 4, 2)
    assert len(ratings) == len(events) >= 5
    assert "History over time" in console.text(f"{PAGE}/{USER}")
    assert "vega" in console.page(f"{PAGE}/{USER}")


def test_many_events(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plot reads a bounded number of events, and says so."""
    happen(service, 5, "item-5", at=1_700_000_000_000_000)
    whole = view(service).by_time
    for module in ("app.store.events", "app.console.user_page"):
        monkeypatch.setattr(f"{module}.MAX_COUNTED", 3)
    cut = view(service).by_time
    assert whole is not None
    assert cut is not None
    assert [sum(n for *_, n in each.rows) for each in (whole, cut)] == [5, 3]
    assert ["the newest" in each.meaning for each in (whole, cut)] == [False, True]


def test_by_period() -> None:
    """Within two months by day, over centuries by year; all periods in between are there."""
    day = 86_400_000_000
    some = {"a": np.array([0, 2 * day, 2 * day + 5, UNKNOWN_TIME]), "b": np.array([day])}
    assert by_period(some) == (
        "day",
        [
            ("1970-01-01", "a", 1),
            ("1970-01-01", "b", 0),
            ("1970-01-02", "a", 0),
            ("1970-01-02", "b", 1),
            ("1970-01-03", "a", 2),
            ("1970-01-03", "b", 0),
        ],
    )
    unit, rows = by_period({"a": to_microseconds(datetime(2026, 5, 1, tzinfo=UTC)) * np.array([-30, 0, 1])})
    assert (unit, len(rows) < 2_000, sum(n for *_, n in rows)) == ("year", True, 3)
    assert by_period({"a": np.empty(0, np.int64)}) == ("day", [])


@pytest.mark.parametrize("path", ["", "/lists", "/taste"])
def test_nothing_learned(empty: Console, path: str) -> None:
    store = empty.client.app.state.service.store  # type: ignore[attr-defined]  # an application
    store.items.record([Item("a", title='"><img src=x onerror=alert(1)>'), Item("b")])
    rate(empty, "a", value="4")
    page = empty.page(f"{PAGE}/{USER}{path}")
    assert "<img src=x" not in page
