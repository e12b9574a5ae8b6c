"""Pages that are made in the background."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app.console import prepared
from app.console.prepared import KEPT_SECONDS, MOST, PreparedViews
from app.errors import NotFoundError, UnavailableError
from tests.support.console import Console, text_of


class Slow:
    """A view that is made once `ended` is set. `n`: how often it was begun."""

    def __init__(self) -> None:
        self.n = 0
        self.ended = asyncio.Event()

    async def make(self) -> int:
        self.n += 1
        await self.ended.wait()
        return self.n


def run(test: Callable[[PreparedViews, Slow], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        await test(PreparedViews(), Slow())

    asyncio.run(run())


def test_waits_until_it_is_made() -> None:
    async def test(views: PreparedViews, slow: Slow) -> None:
        assert await views.get("a", slow.make, None) is None
        assert await views.get("a", slow.make, None) is None
        slow.ended.set()
        assert await views.get("a", slow.make, None) == 1
        assert slow.n == 1

    run(test)


def test_is_handed_out_once() -> None:
    async def test(views: PreparedViews, slow: Slow) -> None:
        slow.ended.set()
        assert [await views.get("a", slow.make, None) for _ in range(2)] == [1, 2]

    run(test)


def test_two_at_once_share_it() -> None:
    async def test(views: PreparedViews, slow: Slow) -> None:
        asyncio.get_running_loop().call_later(0.001, slow.ended.set)
        assert await asyncio.gather(*(views.get("a", slow.make, None) for _ in range(2))) == [1, 1]

    run(test)


def test_addresses_are_apart() -> None:
    async def test(views: PreparedViews, slow: Slow) -> None:
        assert await views.get("a", slow.make, None) is None
        other = Slow()
        other.ended.set()
        assert await views.get("b", other.make, None) == 1

    run(test)


def test_errors_are_raised_where_they_are_asked_for() -> None:
    async def test(views: PreparedViews, slow: Slow) -> None:
        async def fail() -> int:
            await slow.ended.wait()
            raise NotFoundError("user", "u")

        assert await views.get("a", fail, None) is None
        slow.ended.set()
        with pytest.raises(NotFoundError):
            await views.get("a", fail, None)
        assert await views.get("a", slow.make, None) == 1

    run(test)


def test_what_nobody_fetched_is_made_anew() -> None:
    async def test(_: PreparedViews, slow: Slow) -> None:
        now = [0.0]
        views = PreparedViews(clock=lambda: now[0])
        assert await views.get("a", slow.make, None) is None
        # However long it takes to make, it waits for the page from then on.
        now[0] = 2 * KEPT_SECONDS
        slow.ended.set()
        await asyncio.sleep(0.01)
        now[0] += KEPT_SECONDS - 1
        assert await views.get("a", slow.make, None) == 1
        views.start("a", slow.make, None)
        await asyncio.sleep(0.01)
        now[0] += KEPT_SECONDS + 1
        assert await views.get("a", slow.make, None) == 3

    run(test)


def test_one_that_waits_gives_way() -> None:
    async def test(views: PreparedViews, slow: Slow) -> None:
        ready = Slow()
        ready.ended.set()
        views.start("ready", ready.make, None)
        await asyncio.sleep(0.01)
        for n in range(MOST):
            views.start(n, slow.make, None)
        with pytest.raises(UnavailableError):
            views.start("ready", ready.make, None)

    run(test)


def test_bounded() -> None:
    async def test(views: PreparedViews, slow: Slow) -> None:
        for n in range(MOST):
            views.start(n, slow.make, None)
        with pytest.raises(UnavailableError):
            await views.get("one more", slow.make, None)
        assert await views.get(0, slow.make, None) is None

    run(test)


@pytest.fixture
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "WAIT_SECONDS", 0)


@pytest.mark.usefixtures("no_wait")
@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/console/users/user-0/lists", "lists"),
        ("/console/items/item-0?lists=home", "lists"),
        ("/console/items?q=item", "found"),
        ("/console/learning/snapshots/1/map", "map"),
        ("/console/data/quality", "quality"),
    ],
)
def test_page_in_its_place(path: str, part: str, console: Console) -> None:
    whole = console.get(path).text
    assert f'hx-get="{path}"' in whole
    assert 'hx-select="main"' in whole
    shown = console.page(path)
    assert f'id="{part}"' in shown
    taken = console.get(path, headers={"HX-Target": part}).text
    assert f'<div id="{part}" class="making"' in taken
    assert f'hx-select="#{part}"' in taken


@pytest.mark.usefixtures("no_wait")
def test_titles_being_indexed(console: Console) -> None:
    path = "/console/try?user=ann&q=item"
    text = text_of(console.get(path).text)
    assert "The titles are being indexed" in text
    assert "No title matches" not in text
    assert "titles are being indexed" not in console.text(path)


def test_wait_is_part_of_a_fast_page() -> None:
    # Half of the 200 ms that a page may take.
    assert prepared.WAIT_SECONDS <= 0.1
