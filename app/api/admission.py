"""Refuses requests at once while more are waiting than can be answered soon.

Without a limit, every request of an overload waits for all before it. Callers give up and try again, and the service
makes answers that no caller waits for any more. What is refused costs a twentieth of a millisecond, so that nearly all
of the time goes into requests that are answered.

Two limits, because requests wait in two places. A handler that waits for nothing (a list on SQLite) runs as a whole in
its turn of the event loop, so that the others wait to begin: what has not begun when the turn has lasted
`MAX_TURN_SECONDS` is refused. Handlers that wait for the database or for a thread are in progress together: beyond
`MAX_IN_PROGRESS`, others are refused. A request whose body is still arriving is not in progress.
"""

import asyncio
import time

import structlog
from pydantic_core import to_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import MEDIA_TYPE, problem_of
from app.errors import OverloadedError

log = structlog.get_logger()

MAX_TURN_SECONDS = 0.1
MAX_IN_PROGRESS = 256
ALWAYS_ANSWERED = frozenset({"/livez", "/readyz", "/metrics"})
LOG_SECONDS = 10.0
"""The number of refused requests is logged this often: a line for each would cost as much as to answer it."""


class Admission:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._n_in_progress = 0
        self._is_in_turn = False
        self._turn_began_at = 0.0
        self._n_refused = 0
        self._logged_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
            return
        if self._is_late() or self._n_in_progress >= MAX_IN_PROGRESS:
            await self._refuse(scope, send)
            return

        async def receive_aside() -> Message:
            self._n_in_progress -= 1
            try:
                return await receive()
            finally:
                self._n_in_progress += 1

        self._n_in_progress += 1
        try:
            await self._app(scope, receive if scope["method"] == "GET" else receive_aside, send)
        finally:
            self._n_in_progress -= 1

    def _is_late(self) -> bool:
        """Whether this turn of the event loop, in which the request begins, has lasted too long."""
        now = time.monotonic()
        if self._is_in_turn:
            return now - self._turn_began_at > MAX_TURN_SECONDS
        self._is_in_turn, self._turn_began_at = True, now
        # Called after everything that is ready now, which includes all requests that have arrived.
        asyncio.get_running_loop().call_soon(self._end_turn)
        return False

    def _end_turn(self) -> None:
        self._is_in_turn = False

    async def _refuse(self, scope: Scope, send: Send) -> None:
        self._n_refused += 1
        now = time.monotonic()
        if now - self._logged_at > LOG_SECONDS:
            log.warning("requests refused", n=self._n_refused, n_in_progress=self._n_in_progress)
            self._logged_at, self._n_refused = now, 0
        state = scope.setdefault("state", {})
        state["is_refused"] = True
        problem = problem_of(OverloadedError())
        problem.request_id = state.get("request_id", "")
        body = to_json(problem.document)
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", b"1"),
        ]
        await send({"type": "http.response.start", "status": OverloadedError.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
