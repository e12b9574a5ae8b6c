"""Refuses requests at once while more are waiting than can be answered soon.

Without a limit, every request of an overload waits for all before it. Callers give up and try again, and the service
makes answers that no caller waits for any more. What is refused costs a twentieth of a millisecond, so that nearly all
of the time goes into requests that are answered.

Requests wait in two places. A handler that waits for nothing (a list on SQLite) runs as a whole in its turn of the
event loop, so that the others wait to begin: what has not begun when the turn has lasted `MAX_TURN_SECONDS`, and
`FEWEST_IN_TURN` others have begun in it, is refused.
All others are in progress together, and their number is limited. How many can be answered in time depends on what they
ask for, so that the limit of reads follows their own times: it falls while they take longer than `IN_TIME_SECONDS`, and
grows while it is used up and they do not. Writes have a limit of their own: they may all wait for a lock of the
database, which is no reason to refuse reads. A request whose body is still arriving is not in progress.
"""

import asyncio
import time
from dataclasses import dataclass

import structlog
from pydantic_core import to_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import MEDIA_TYPE, problem_of
from app.errors import OverloadedError

log = structlog.get_logger()

MAX_TURN_SECONDS = 0.05
FEWEST_IN_TURN = 8
"""A turn with fewer requests lasts long for another reason, such as a machine that did something else meanwhile."""

IN_TIME_SECONDS = 0.5
FEWEST_READS, FIRST_READS, MOST_READS = 16, 64, 512
MOST_WRITES = 256
ALWAYS_ANSWERED = frozenset({"/livez", "/readyz", "/metrics"})
LOG_SECONDS = 10.0
"""The number of refused requests is logged this often: a line for each would cost as much as to answer it."""


READING_POSTS = ("/recommendations", "/rankings", "/search", "/predictions")
"""Beginnings of paths at which a POST stores nothing."""

PREVIEW = ("/placements/", "/preview")
"""Beginning and end of another one: other requests to placements write."""


@dataclass(slots=True)
class Progress:
    """The number of requests in progress, and the largest allowed."""

    most: int
    n: int = 0
    lowered_at: float = 0.0

    def ended(self, seconds: float, now: float) -> None:
        """A read has ended that was in progress for so long."""
        if seconds > IN_TIME_SECONDS:
            # Once for all that were in progress together.
            if now - self.lowered_at > IN_TIME_SECONDS:
                self.most, self.lowered_at = max(FEWEST_READS, self.most * 7 // 10), now
        elif self.n >= self.most - 1:
            self.most = min(MOST_READS, self.most + 1)


class Admission:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._reads, self._writes = Progress(FIRST_READS), Progress(MOST_WRITES)
        self._is_in_turn = False
        self._turn_began_at = 0.0
        self._n_in_turn = 0
        self._n_refused = 0
        self._logged_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
            return
        is_get = scope["method"] == "GET"
        is_read = is_get or scope["method"] == "HEAD" or _is_reading_post(scope)
        progress, began_at = self._reads if is_read else self._writes, time.monotonic()
        if self._is_late(began_at) or progress.n >= progress.most:
            await self._refuse(scope, send, began_at)
            return

        async def receive_aside() -> Message:
            nonlocal began_at
            since = time.monotonic()
            progress.n -= 1
            try:
                return await receive()
            finally:
                progress.n += 1
                began_at += time.monotonic() - since

        progress.n += 1
        try:
            await self._app(scope, receive if is_get else receive_aside, send)
        finally:
            progress.n -= 1
            if is_read:
                now = time.monotonic()
                progress.ended(now - began_at, now)

    def _is_late(self, now: float) -> bool:
        """Whether this turn of the event loop, in which the request begins, has lasted too long."""
        if self._is_in_turn:
            self._n_in_turn += 1
            return self._n_in_turn > FEWEST_IN_TURN and now - self._turn_began_at > MAX_TURN_SECONDS
        self._is_in_turn, self._turn_began_at, self._n_in_turn = True, now, 1
        # Called after everything that is ready now, which includes all requests that have arrived.
        asyncio.get_running_loop().call_soon(self._end_turn)
        return False

    def _end_turn(self) -> None:
        self._is_in_turn = False

    async def _refuse(self, scope: Scope, send: Send, now: float) -> None:
        self._n_refused += 1
        if now - self._logged_at > LOG_SECONDS:
            log.warning("requests refused", n=self._n_refused, n_reads=self._reads.n, n_writes=self._writes.n)
            self._logged_at, self._n_refused = now, 0
        state = scope.setdefault("state", {})
        state["is_refused"] = True
        problem = problem_of(OverloadedError())
        problem.request_id = state.get("request_id", "")
        state["problem"] = problem.name
        body = to_json(problem.document)
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", b"1"),
        ]
        await send({"type": "http.response.start", "status": OverloadedError.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _is_reading_post(scope: Scope) -> bool:
    beginning, end = PREVIEW
    path: str = scope["path"]
    is_preview = path.startswith(beginning) and path.endswith(end)
    return scope["method"] == "POST" and (is_preview or path.startswith(READING_POSTS))
