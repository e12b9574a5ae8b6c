"""How long requests hold the event loop of an application in this process."""

import asyncio
import gc
import threading
import time
from asyncio.events import Handle
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from starlette.types import Message

TICK_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `path`: as it is sent, without the query string."""

    method: str
    path: str
    query_string: bytes = b""
    body: bytes = b""
    content_type: bytes = b"application/json"


@dataclass(slots=True)
class Hold:
    """What one request did to the loop.

    `held_seconds`: the longest callback, in processor time of the loop's thread, which other processes do not change.
    `late_seconds`: the longest delay of a timer, in elapsed time, which also counts what other threads hold.
    `collected_seconds`: the longest garbage collection. It is no part of `held_seconds`: which request it falls into
    depends on those before.
    """

    status: int = 0
    held_seconds: float = 0.0
    late_seconds: float = 0.0
    collected_seconds: float = 0.0


@contextmanager
def measured(hold: Hold) -> Iterator[None]:
    """Notes the callbacks and timers of the running loop in `hold`, until the block ends."""
    loop = asyncio.get_running_loop()
    run = Handle._run  # noqa: SLF001  asyncio has no hook

    collecting = collected = 0.0
    is_over = False
    loop_thread = threading.get_ident()

    def collect(phase: str, _info: dict[str, int]) -> None:
        nonlocal collecting, collected
        if phase == "start":
            collecting = time.thread_time()
            return
        seconds = time.thread_time() - collecting
        if threading.get_ident() == loop_thread:
            collected += seconds
        hold.collected_seconds = max(hold.collected_seconds, seconds)

    def timed(handle: Handle) -> None:
        nonlocal collected
        started, collected = time.thread_time(), 0.0
        run(handle)
        # The callback that ends the measurement goes on with what its caller does next.
        if not is_over:
            hold.held_seconds = max(hold.held_seconds, time.thread_time() - started - collected)

    timers: list[asyncio.TimerHandle] = []

    def tick() -> None:
        if timers:
            hold.late_seconds = max(hold.late_seconds, loop.time() - timers.pop().when())
        timers.append(loop.call_later(TICK_SECONDS, tick))

    gc.callbacks.append(collect)
    tick()
    Handle._run = timed  # type: ignore[method-assign, assignment]  # noqa: SLF001
    try:
        yield
    finally:
        is_over = True
        Handle._run = run  # type: ignore[method-assign]  # noqa: SLF001
        gc.callbacks.remove(collect)
        timers.pop().cancel()


async def ask(app: FastAPI, asked: Asked) -> Hold:
    """Sends the request to the application, without a server between, and measures it."""
    hold = Hold()
    headers = [(b"host", b"localhost")]
    if asked.body:
        headers += [(b"content-type", asked.content_type), (b"content-length", str(len(asked.body)).encode())]
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        "path": asked.path,
        "raw_path": quote(asked.path).encode(),
        "query_string": asked.query_string,
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    parts = [asked.body]

    async def receive() -> Message:
        if parts:
            return {"type": "http.request", "body": parts.pop(), "more_body": False}
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            hold.status = message["status"]

    with measured(hold):
        # As a task of its own, since only what the loop calls is timed.
        await asyncio.create_task(app(scope, receive, send))
        await asyncio.sleep(2 * TICK_SECONDS)
    return hold


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    async with app.router.lifespan_context(app):
        yield
