"""One connection of an API process, with deadlines and limits that uvicorn's protocol lacks.

A peer may send slowly, send too much, or not read its answers. None of that may cost more than a bounded share of the
process: every wait for a peer has a deadline, and every buffer of what it sent has a limit.

Rejected alternative: to require a proxy in front. A bare port must hold too.
"""

import asyncio
import json
import math
import secrets
import socket
import struct
from collections.abc import Iterable
from fcntl import ioctl
from http import HTTPStatus
from termios import TIOCOUTQ
from typing import Any

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.api.address_check import MAX_ADDRESS, AddressTooLongError
from app.api.problems import MEDIA_TYPE, Problem, http_problem, problem_of
from app.cli.connections import Connections

HEAD_SECONDS = 9.0
"""From the moment at which the connection waits for a request until its head is complete."""

STALL_SECONDS = 8.0
BYTES_PER_SECOND = 1_024
LONGEST_SECONDS = 60.0
"""A body must arrive, and an answer must be read, at `BYTES_PER_SECOND`, falling behind it by at most `STALL_SECONDS`,
and within `LONGEST_SECONDS` unless the application stores the body as it arrives.
"""

LINGER_SECONDS = 1.0
"""After a last answer, the peer has this time to read it before the connection is torn down."""

_UNSENT = struct.Struct("i")

RESET = struct.pack("ii", 1, 0)
"""The option SO_LINGER that makes a closed socket forget what it has not sent."""

MAX_HEADERS = 100
MAX_HEADER_BYTES = 16_384
MAX_HEAD_BYTES = MAX_ADDRESS + MAX_HEADER_BYTES + 4 * MAX_HEADERS

BODY_HEADERS = {b"content-length", b"transfer-encoding"}

MAX_PIECES = 10_000
"""Parts in which a body may arrive. A body of single-byte chunks would cost a call for each byte."""

MAX_PIPELINED = 8
"""Requests of one connection that wait for the answer to an earlier one."""

MAX_IGNORED_BYTES = 1 << 20
"""What may arrive after an answer that did not wait for it, until the service stops reading."""


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's protocol on httptools, with deadlines and limits.

    It cuts an address that is too long, so that the application can refuse it.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        connections_of_all: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._all = connections_of_all
        # uvicorn sets these when a request begins.
        self.url, self.headers = b"", []
        self.waiting_since = 0.0
        """When the wait for the peer began: for the head of a request, or for its body."""
        self.unfinished_bytes = 0
        """Bytes of a request that is not complete which memory holds: all that arrived, unless they are streamed."""
        self._arrived_bytes = 0
        """Of the same request."""
        self._is_streamed = False
        self.unread_bytes = 0
        """Bytes of the buffer when it became full; 0 while it is not."""
        self._is_in_head = True
        """The next byte belongs to the head of a request."""
        self._answering: RequestResponseCycle | None = None
        self._is_last_answer = False
        self._refusal: Problem | None = None
        """Why the parser was stopped."""
        self._header_bytes = self._pieces = self._ignored_bytes = 0
        self._pace: _Pace | None = None
        """Of the body that arrives, or of the answer that the peer reads; None until the first check of it."""
        self._closing_since: float | None = None

    @property
    def waits_for_head(self) -> bool:
        return self._is_in_head and self._answering is None

    @property
    def is_closing(self) -> bool:
        return self._closing_since is not None or self.transport.is_closing()

    # The connection as a whole

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self.waiting_since = self.loop.time()
        if not self._all.add(self):
            self.refuse(http_problem(503, "too many connections are open"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.remove(self)
        self._forget_unfinished()
        self._forget_unread()
        # uvicorn tells the request that arrived last; of pipelined ones, another may be the one that is answered.
        self._disconnect()
        # Requests that wait for an earlier answer must not keep their memory until that answer is made.
        self.pipeline.clear()
        super().connection_lost(exc)

    def check(self, now: float) -> None:
        """Give up if the peer has made the service wait for too long."""
        if self.is_closing:
            self._check_closing(now)
        elif self.unread_bytes:
            if self._is_late(now, self.unread_bytes - self.transport.get_write_buffer_size()):
                self.reset()
        elif self.waits_for_head:
            if now - self.waiting_since > HEAD_SECONDS:
                self._give_up(f"the head of a request must arrive within {HEAD_SECONDS:g} seconds")
        elif self._is_in_head or self.flow.read_paused:
            # The peer waits for the application.
            self._pace = None
        elif self._is_late(now, self._arrived_bytes):
            self._give_up(f"the body arrives at less than {BYTES_PER_SECOND:,} bytes a second")

    def _check_closing(self, now: float) -> None:
        self._closing_since = self._closing_since or now
        if self.transport.get_write_buffer_size():
            if now - self._closing_since > STALL_SECONDS:
                self.reset()
        elif now - self._closing_since > LINGER_SECONDS:
            self.transport.abort()

    def _is_late(self, now: float, n_bytes: int) -> bool:
        """`n_bytes`: those of the body that have arrived, or those of the answer that the peer has read."""
        self._pace = self._pace or _Pace(now, math.inf if self._is_streamed else LONGEST_SECONDS)
        return self._pace.is_late(now, n_bytes)

    def reset(self) -> None:
        """Drop the connection and what the peer has not read of it, also what the system has buffered."""
        self._all.count_refused("answers not read", "reset")
        self._forget_unread()
        self._disconnect()
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def timeout_keep_alive_handler(self) -> None:
        """Of an idle connection. The system would keep what the peer has not read of small answers, and not say so."""
        if not self.transport.is_closing() and self._unsent_bytes():
            self.reset()
        super().timeout_keep_alive_handler()

    def _unsent_bytes(self) -> int:
        """Of what was written, the bytes that the peer's system has not taken."""
        descriptor = self.transport.get_extra_info("socket").fileno()
        try:
            (n_bytes,) = _UNSENT.unpack(ioctl(descriptor, TIOCOUTQ, bytes(_UNSENT.size)))
        except OSError:  # not a TCP connection of Linux
            return 0
        return int(n_bytes)

    def _give_up(self, detail: str) -> None:
        if self._arrived_bytes:
            self.refuse(http_problem(408, detail))
        else:
            # Without a request there is nothing to answer.
            self.transport.close()

    # Requests that arrive

    def data_received(self, data: bytes) -> None:
        if self._closing_since is not None or self._is_last_answer:
            self._ignored_bytes += len(data)
            if self._ignored_bytes > MAX_IGNORED_BYTES:
                self.flow.pause_reading()
            return
        self._unset_keepalive_if_required()
        self._arrived_bytes += len(data)
        self._hold(self.unfinished_bytes + len(data))
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The request is answered, and what follows it may be of the other protocol.
            self._close_after_answer()
        except httptools.HttpParserError:
            self.refuse(self._refusal or _not_http())
        else:
            if self._is_streamed:
                self._hold(len(self.cycle.body))
            if self._is_in_head and self.unfinished_bytes > MAX_HEAD_BYTES:
                is_address = len(self.url) > MAX_ADDRESS
                self.refuse(problem_of(AddressTooLongError()) if is_address else _too_large_head())
            else:
                self._all.give_up_requests(self.loop.time())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = self._pieces = self._ignored_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url[: MAX_ADDRESS + 1 - len(self.url)])

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES or len(self.headers) >= MAX_HEADERS:
            self._stop_parsing(_too_large_head())
        # Trailers, which follow a body, are ignored: the application has the headers already.
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop_parsing(http_problem(503, f"more than {MAX_PIPELINED} requests wait for an answer"))
        if self.parser.get_http_version() not in {"1.1", "1.0"}:
            self._stop_parsing(_not_http())
        if self.parser.should_upgrade() and any(name in BODY_HEADERS for name, _ in self.headers):
            # The parser takes the body for data of the other protocol.
            self._stop_parsing(http_problem(501, "the service upgrades no connection: leave out the header `Upgrade`"))
        super().on_headers_complete()
        if _declared_bytes(self.headers) > MAX_IGNORED_BYTES:
            # Where the answer does not wait for it, the rest is not ignored to its end: the answer must say `close`.
            self.cycle.keep_alive = False
            self.cycle.transport = _KeptOpen(self.transport)  # type: ignore[assignment]  # as much as is used
        self._is_in_head = False
        self._is_streamed = self.url.partition(b"?")[0] in self._all.streamed
        self.waiting_since = self.loop.time()

    def on_body(self, body: bytes) -> None:
        self._pieces += 1
        if self._pieces > MAX_PIECES and not self._is_streamed:
            self._stop_parsing(http_problem(400, f"the body arrives in more than {MAX_PIECES:,} pieces"))
        if self.cycle.response_complete:
            self._ignored_bytes += len(body)
            if self._ignored_bytes > MAX_IGNORED_BYTES:
                self._linger()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_in_head, self._is_streamed = True, False
        self._pace = None
        self.waiting_since = self.loop.time()
        self._forget_unfinished()
        super().on_message_complete()

    def _hold(self, n_bytes: int) -> None:
        self._all.unfinished_bytes += n_bytes - self.unfinished_bytes
        self.unfinished_bytes = n_bytes

    def _forget_unfinished(self) -> None:
        self._hold(0)
        self._arrived_bytes = 0

    def _forget_unread(self) -> None:
        self._all.unread_bytes -= self.unread_bytes
        self.unread_bytes, self._pace = 0, None

    # Answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self._answering = None
        if self._is_in_head:
            self.waiting_since = self.loop.time()
        elif self.expect_100_continue:
            # The peer may or may not send the body now, so what comes next cannot be told from a body.
            self._is_last_answer = True
        if self._is_last_answer or isinstance(self.cycle.transport, _KeptOpen):
            self._linger()
        else:
            super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread_bytes, self._pace = self.transport.get_write_buffer_size(), None
        self._all.unread_bytes += self.unread_bytes
        self._all.drop_answers(self.loop.time())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_unread()

    # Refusals

    def _stop_parsing(self, refusal: Problem) -> None:
        self._refusal = refusal
        raise _RefusedError

    def refuse(self, problem: Problem) -> None:
        """Answer the request that arrives with the problem, and close the connection."""
        self._all.count_refused(problem.detail, problem.name)
        answering = self._answering
        if answering is not None and (self._is_in_head or answering is not self.cycle):
            # An answer sent now would be taken for that of the earlier request.
            self._close_after_answer()
            return
        # If there is one, its body is what is refused.
        self._disconnect()
        has_answer = not self._is_in_head if answering is None else answering.response_started
        if not has_answer:
            self.transport.write(_answer_of(problem, self.server_state.default_headers))
        self._linger()

    def _disconnect(self) -> None:
        """Let the application hear that the peer is gone; it cannot write any more."""
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()

    def _close_after_answer(self) -> None:
        """Close the connection when the request that is being answered has its answer; drop those behind it."""
        self._is_last_answer = True
        self.pipeline.clear()
        if self._answering is None:
            self._linger()

    def _linger(self) -> None:
        """Send what is written, ignore what arrives, and close when the peer does, or soon.

        To close at once would reset the connection of a peer that is still sending, and with it lose the answer.
        """
        if self.is_closing:
            return
        self._closing_since = self.loop.time()
        self._forget_unfinished()
        if self.cycle is not None:
            # The application hears of the end in a later turn of the loop. In this one, hundreds of others may come.
            self.cycle.body = bytearray()
        self.pipeline.clear()
        self.flow.resume_reading()
        self.transport.write_eof()


class _KeptOpen:
    """A transport that is not closed by an answer that says `close`, since the peer may still be sending: `_linger`."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        pass


def _declared_bytes(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Of the body; 0 where the length is not declared. The parser has refused anything but digits."""
    return next((int(value) for name, value in headers if name == b"content-length"), 0)


class _RefusedError(Exception):
    """Ends the parser's work on what was received."""


class _Pace:
    """How far a transfer has fallen back."""

    def __init__(self, began_at: float, longest_seconds: float = LONGEST_SECONDS) -> None:
        self._due_at = began_at + STALL_SECONDS
        self._latest_at = began_at + longest_seconds
        self._n_bytes = 0

    def is_late(self, now: float, n_bytes: int) -> bool:
        earned_seconds = (n_bytes - self._n_bytes) / BYTES_PER_SECOND
        self._n_bytes = n_bytes
        # What came fast earns no time in which nothing comes.
        self._due_at = min(self._due_at + earned_seconds, now + STALL_SECONDS)
        return now > min(self._due_at, self._latest_at)


def _not_http() -> Problem:
    return http_problem(400, "this is not HTTP/1.1")


def _too_large_head() -> Problem:
    detail = f"a request has at most {MAX_HEADERS} headers, and these have at most {MAX_HEADER_BYTES:,} bytes"
    return http_problem(431, detail)


def _answer_of(problem: Problem, default_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A whole answer, as the application would make it."""
    problem.request_id = secrets.token_hex(8)
    content = json.dumps(problem.document).encode()
    headers = (
        *default_headers,
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(content)),
        (b"x-request-id", problem.request_id.encode()),
        (b"connection", b"close"),
        *([(b"retry-after", b"1")] if problem.status == HTTPStatus.SERVICE_UNAVAILABLE else ()),
    )
    return b"".join((STATUS_LINE[problem.status], *(b"%b: %b\r\n" % each for each in headers), b"\r\n", content))
