"""Pages that take longer than a page may: made in the background, while a page in their place asks for them again."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar

from fastapi import Request, Response

from app.console.rendering import page
from app.console.routing import caller_of, lease_of
from app.errors import UnavailableError
from app.tenancy.open_services import Lease

View = TypeVar("View")

WAIT_SECONDS = 0.1
"""For how long a request waits for its view."""

KEPT_SECONDS = 60.0
"""For how long a view that was made waits for the page that asked for it."""

MOST = 16
"""Views that are being made, or wait to be shown, at a time. One that waits gives way to a new one."""


@dataclass(frozen=True, slots=True)
class BeingMadeView:
    """What stands in the place of a page. `part`: the element of the page that is asked for; None for all of it."""

    title: str
    address: str
    part: str | None


@dataclass(slots=True)
class _Making:
    """`ended`: when the view was made; None before."""

    task: asyncio.Task[Any]
    ended: float | None = None


class PreparedViews:
    """Of one process of the API: another one that is asked makes its own."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._making: dict[Hashable, _Making] = {}

    def start(
        self, key: Hashable, make: Callable[[], Coroutine[Any, Any, object]], lease: Lease | None
    ) -> asyncio.Task[Any]:
        """Begin to make the view, if nothing does.

        `key`: the address that is asked for again, and all else that `make` depends on. `lease`: of the tenant whose
        service `make` uses, held until the view is made. Raises `UnavailableError` while too many views are being made.
        """
        self._forget_old()
        making = self._making.get(key)
        if making is None:
            if len(self._making) >= MOST and not self._forget_oldest():
                raise UnavailableError("too many lists are being made at once: try again in a moment")
            making = self._making[key] = _Making(asyncio.create_task(make()))
            if lease is not None:
                lease.hold_for(making.task)
            making.task.add_done_callback(partial(self._note_end, making))
        return making.task

    async def get(
        self, key: Hashable, make: Callable[[], Coroutine[Any, Any, View]], lease: Lease | None
    ) -> View | None:
        """What `make` returns; None while it is being made. It is handed out once: the next request makes it anew.

        Raises what `make` raises, and as `start`.
        """
        task = self.start(key, make, lease)
        await asyncio.wait({task}, timeout=WAIT_SECONDS)
        if not task.done():
            return None
        # Another request that waited may have taken it, and a third one have begun anew.
        if (held := self._making.get(key)) is not None and held.task is task:
            del self._making[key]
        view: View = task.result()
        return view

    def _note_end(self, making: _Making, task: asyncio.Task[Any]) -> None:
        making.ended = self._clock()
        if not task.cancelled():
            task.exception()  # taken, so that asyncio does not report it as lost
        # What is asked for no more must not stay in memory: it may be of a user.
        asyncio.get_running_loop().call_later(KEPT_SECONDS + 1, self._forget_old)

    def _forget_oldest(self) -> bool:
        """Forget the view that has waited longest; whether there was one."""
        waiting = [(making.ended, key) for key, making in self._making.items() if making.ended is not None]
        if waiting:
            _, key = min(waiting, key=itemgetter(0))
            del self._making[key]
        return bool(waiting)

    def _forget_old(self) -> None:
        for key, making in [*self._making.items()]:
            if making.ended is not None and self._clock() - making.ended > KEPT_SECONDS:
                del self._making[key]


def views_of(request: Request) -> PreparedViews:
    views: PreparedViews = request.app.state.prepared_views
    return views


async def prepared_page(
    request: Request, template: str, make: Callable[[], Coroutine[Any, Any, object]], *, title: str, part: str
) -> Response:
    """The page of the view that `make` returns, or what stands in its place while it is being made."""
    view = await prepared(request, make)
    return being_made_page(request, title, part) if view is None else page(request, template, view)


async def prepared(request: Request, make: Callable[[], Coroutine[Any, Any, View]]) -> View | None:
    """As `PreparedViews.get`, for the address and the catalogue of the request."""
    key = caller_of(request).tenant, _address(request)
    return await views_of(request).get(key, make, lease_of(request))


def being_made_page(request: Request, title: str, part: str) -> Response:
    """A page that asks for the address again until its view is made.

    `title`: of the page. `part`: the id of the element that other pages take from it, and ask for again.
    """
    is_part = request.headers.get("hx-target") == part
    return page(request, "being_made.html", BeingMadeView(title, _address(request), part if is_part else None))


def _address(request: Request) -> str:
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
