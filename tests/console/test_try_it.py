"""Try it: a rating changes the list, the page says how and why, and nothing else can be stored by it."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from app.console.try_it import Asked, TryView, movement, new_visitor, try_view
from app.entities import Item
from app.settings import Settings
from app.wiring import Service
from tests.support.console import Console, text_of
from tests.support.keys import GuardedApp

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(1)</script>'
PAGE = "/console/try"


def viewed(service: Service, user_id: str, **asked: object) -> TryView:
    return asyncio.run(try_view(service, user_id, Asked(**asked)))  # type: ignore[arg-type]


def rate(console: Console, user: str, item: str, value: str = "5") -> str:
    return console.done(f"{PAGE}/ratings", {"user": user, "item": item, "value": value})


def test_new_visitor(console: Console, service: Service) -> None:
    first, second = (console.get(PAGE).headers["location"] for _ in range(2))
    assert first != second
    assert re.fullmatch(r"/console/try\?user=visitor-[0-9a-f]+", first)
    assert "is new: nothing is stored" in console.text(first)
    assert service.store.users.get(new_visitor(service)) is None


def test_list(service: Service) -> None:
    view = viewed(service, "nobody")
    assert (view.strategy, view.is_stored, view.n_rated, view.change) == ("popular", False, 0, None)
    assert [each.rank for each in view.items] == list(range(1, 25))
    assert [each.card.item_id for each in view.guest] == [each.card.item_id for each in view.items[:12]]
    assert [each.value for each in view.rating.choices] == ["1", "2", "3", "4", "5"]
    assert all(each.movement is None for each in view.items)


def test_rate(console: Console, service: Service) -> None:
    before = [each.card.item_id for each in viewed(service, "v").items]
    page = console.page(rate(console, "v", before[0]))
    view = viewed(service, "v", rated=before[0], before=tuple(before))
    change = view.change
    assert change is not None
    assert (change.card.item_id, change.value, view.strategy) == (before[0], "5", "fold_in")
    now = [each.card.item_id for each in view.items]
    assert before[0] not in now
    assert {each.item_id for each in change.gone} == {*before} - {*now} - {before[0]}
    assert change.n_new == len({*now} - {*before}) > 0
    text = text_of(page)
    assert f"{change.card.name} 5. In the list {change.n_up} up" in text
    assert f"{change.n_down} down" in text
    because = view.items[0].reasons.because
    assert [(each.item_id, each.value) for each in because] == [(before[0], "5")]
    assert f"Because you rated <bdi>{change.card.name}</bdi> 5" in page
    shares = sum(each.share_percent for each in view.items[0].reasons.segments)
    assert shares == pytest.approx(100, abs=0.5)


def test_remove(console: Console, service: Service) -> None:
    item = viewed(service, "v").items[0].card.item_id
    rate(console, "v", item)
    target = console.done(f"{PAGE}/ratings/delete", {"user": "v", "item": item})
    assert "Removed the rating of" in console.text(target)
    assert viewed(service, "v").n_rated == 0
    outcomes = [(each.action, each.target, each.outcome) for each in service.store.audit.entries(2)]
    assert outcomes == [("ratings.delete", item, "succeeded"), ("ratings.put", item, "succeeded")]


@pytest.mark.parametrize(
    ("before", "now", "kind", "n_ranks"),
    [(None, 3, "new", 0), (5, 2, "up", 3), (2, 5, "down", 3), (4, 4, "same", 0)],
)
def test_movement(before: int | None, now: int, kind: str, n_ranks: int) -> None:
    moved = movement(before, now)
    assert (moved.kind, moved.n_ranks) == (kind, n_ranks)


def test_search(console: Console, service: Service) -> None:
    rate(console, "v", "item-7", "4")
    view = viewed(service, "v", words="item 7")
    assert (view.found[0].card.item_id, view.found[0].value, view.found[0].rank) == ("item-7", "4", None)
    assert "No title matches" in console.text(f"{PAGE}?user=v&q=zzzzzzzz")
    for words in ("w " * 70, "x" * 201):
        got = console.get(f"{PAGE}?user=v&q={quote(words)}")
        assert (got.status_code, 'id="problem"' in got.text) == (422, True)
        assert f'value="{words.strip()}"' in got.text


def test_why_not(console: Console, service: Service) -> None:
    rate(console, "v", "item-7", "4")
    view = viewed(service, "v", why="item-7")
    assert view.why_not is not None
    assert view.why_not.text == "It is left out: the user has rated or consumed it."
    first = view.items[0].card.item_id
    assert "It is in the list, at rank 1." in console.text(f"{PAGE}?user=v&why={first}")
    shown = {each.card.item_id for each in view.items}
    left_out = next(each for each in (f"item-{n}" for n in range(60)) if each not in {*shown, "item-7"})
    assert "Other items score higher for this user." in console.text(f"{PAGE}?user=v&why={left_out}")
    assert viewed(service, "v", why="no such").why_not is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("6", "6.0 is not on the rating scale 1:5."),
        ("0", "is not on the rating scale"),
        ("nan", "is not on the rating scale"),
        ("inf", "is not on the rating scale"),
        ("", "Choose a value first."),
        ("four", "is not a number."),
        (HOSTILE, "is not a number."),
    ],
)
def test_bad_values(console: Console, service: Service, value: str, message: str) -> None:
    item = viewed(service, "v").items[0].card.item_id
    got = console.post(f"{PAGE}/ratings", {"user": "v", "item": item, "value": value})
    assert (got.status_code, message in text_of(got.text)) == (422, True)
    assert "<img src=x" not in got.text
    assert service.store.users.get("v") is None


@pytest.mark.parametrize("fields", [{"item": "no such item"}, {"user": "a/b"}, {"user": "\x00"}, {"item": "x" * 129}])
def test_bad_ids(console: Console, service: Service, fields: dict[str, str]) -> None:
    got = console.post(f"{PAGE}/ratings", {"user": "v", "item": "item-1", "value": "5"} | fields)
    assert got.status_code == 422
    assert service.store.users.get("v") is None
    assert service.store.items.get("no such item") is None


@pytest.mark.parametrize("user", ["a/b", " ", "..", "x" * 129, HOSTILE])
def test_bad_user(console: Console, user: str) -> None:
    got = console.get(f"{PAGE}?user={quote(user, safe='')}")
    assert (got.status_code, 'id="user-problem"' in got.text) == (422, True)
    assert "<img src=x" not in got.text


def test_hostile_texts(console: Console, service: Service) -> None:
    titles = [HOSTILE, "\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe", "javascript:alert(1)", "long " * 2_000]
    service.store.items.record(
        [Item(f"h'\"<{n}", title=title, categories=(HOSTILE,)) for n, title in enumerate(titles)]
    )
    for n in range(len(titles)):
        page = console.page(rate(console, "v<b>", f"h'\"<{n}"))
        assert not any(each in page for each in ("<img src=x", "<script>alert", "<b>", "h'\"<"))
        assert "long " * 100 not in page


def test_empty_service(empty: Console) -> None:
    assert "There are no items yet. Import some data" in empty.text(f"{PAGE}?user=v")


def test_nothing_learned(empty: Console) -> None:
    store = empty.client.app.state.service.store  # type: ignore[attr-defined]  # an application
    store.items.record([Item("a", title="Alpha"), Item("b")])
    rate(empty, "v", "a", "4")
    text = empty.text(f"{PAGE}?user=v")
    assert "Nothing is learned yet" in text
    assert " b " in text  # an item without a title has its id


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[GuardedApp]:
    opened = GuardedApp(Settings(data_dir=tmp_path))
    yield opened
    opened.close()


def test_looking(guarded: GuardedApp) -> None:
    """A key that may only look sees no forms, and cannot send them."""
    guarded.store.items.record([Item("a", title="Alpha")])
    key = guarded.key("console")
    console = Console(guarded.app)
    with console.client:
        console.log_in(key)
        page = console.page(f"{PAGE}?user=v&q=alpha")
        assert "/console/try/ratings" not in page
        assert "Your key may look only" in page
        for path in ("ratings", "ratings/delete"):
            assert console.post(f"{PAGE}/{path}", {"user": "v", "item": "a", "value": "4"}).status_code == 403
    assert guarded.store.users.get("v") is None


def test_not_in_the_metrics(console: Console) -> None:
    """What an operator looks at is no list that users were shown."""
    for path in ("/console/try?user=user-1", "/console/users/user-1/lists", "/console/items/i1?lists=home"):
        console.get(path)
    assert "reckon_catalogue_shown_items 0.0" in console.client.get("/metrics").text
