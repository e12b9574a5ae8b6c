"""The catalogue as an operator looks through it."""

from typing import Any

import pytest

from app.console.items import PAGE, ItemsView, items_view
from app.entities import Item
from app.wiring import Service
from tests.support.console import Console

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
N_ITEMS = 65


def viewed(console: Console, **asked: Any) -> ItemsView:
    service: Service = console.client.app.state.service  # type: ignore[attr-defined]  # an application
    portal = console.client.portal
    assert portal is not None
    view: ItemsView = portal.call(lambda: items_view(service, **asked))
    return view


def ids(view: ItemsView) -> list[str]:
    return [each.item_id for each in view.items]


def test_most_liked_first(console: Console, service: Service) -> None:
    view = viewed(console)
    assert (view.n_found, view.n_stored, len(view.items)) == (N_ITEMS, N_ITEMS, PAGE)
    arrays = service.serving.current.scorer.arrays
    likes = dict(zip(service.serving.current.catalogue.item_ids, arrays.like_counts.tolist(), strict=True))
    shown = [likes[each] for each in ids(view)]
    assert shown == sorted(likes.values(), reverse=True)[:PAGE]
    assert likes[ids(viewed(console, order="unpopular"))[0]] == 0


def test_pages(console: Console) -> None:
    first, second = viewed(console), viewed(console, page_number=2)
    assert len({*ids(first), *ids(second)}) == N_ITEMS
    assert (first.first, first.next) == ("", "/console/items?page=2")
    assert (second.first, second.next) == ("/console/items", "")
    assert viewed(console, page_number=9).items == ()


def test_search(console: Console) -> None:
    assert set(ids(viewed(console, q="ITEM 1"))) == {"item-1", *(f"item-1{n}" for n in range(10))}
    assert ids(viewed(console, q="unrated-3")) == ["unrated-3"]
    near = viewed(console, q="itme 12")
    assert (near.is_near, ids(near)[0]) == (True, "item-12")
    assert viewed(console, q="zzzz qqqq").items == ()


def test_filter(console: Console, service: Service) -> None:
    service.store.items.record([Item("new", title="New one", year=2001, is_available=False)])
    assert ids(viewed(console, filter_text="year >= 2000")) == ["new"]
    assert ids(viewed(console, filter_text="is_available = false", q="new")) == ["new"]
    assert viewed(console, filter_text='"even" in categories').n_found == N_ITEMS // 2 - 2
    assert ids(viewed(console, order="newest"))[0] == "new"
    service.store.items.delete("new")
    assert ids(viewed(console, filter_text="year >= 2000")) == []


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("year >=", 7, ""),
        ("yaer > 1990", 0, "year"),
        ('"eve" in categories', 0, "even"),
        ("year > 'x'", 7, ""),
        ("(" * 100, 30, ""),
        ("é <script>", None, ""),
    ],
)
def test_refused_filter(console: Console, text: str, position: int | None, reason: str) -> None:
    view = viewed(console, filter_text=text)
    assert view.fault is not None
    assert view.items == ()
    assert reason in view.fault.reason
    if position is not None and position != 30:
        assert view.fault.position == position
        assert view.fault.before + view.fault.at + view.fault.after == text
    got = console.get("/console/items", params={"filter": text})
    assert got.status_code == 422
    assert "<script>" not in got.text
    partial = console.get("/console/items", params={"filter": text}, headers={"hx-request": "true"})
    assert (partial.status_code, "The filter cannot be read" in partial.text) == (200, True)


@pytest.mark.parametrize("query", ["order=up", "page=0", "page=x", "page=99999999999", "q=" + "x" * 300])
def test_malformed(console: Console, query: str) -> None:
    assert console.get(f"/console/items?{query}").status_code == 422


def test_hostile_texts(console: Console, service: Service) -> None:
    odd = Item("a?b&c#d", title=HOSTILE, categories=(HOSTILE,), attributes={HOSTILE: 1, "in stock": True})
    service.store.items.record([odd, Item("long", title="x" * 1_000)])
    html = console.page("/console/items?q=script")
    assert "/console/items/a%3Fb%26c%23d" in html
    assert not any(each in html for each in ("<script>alert", "<img src=x"))
    assert "`in stock`" in html


def test_empty(empty: Console) -> None:
    assert "There are no items yet" in empty.text("/console/items")
