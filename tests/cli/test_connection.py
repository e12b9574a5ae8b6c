"""Connections of peers that send slowly, too much or nonsense, or do not read their answers."""

import asyncio
import math
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from urllib.parse import urlsplit

import pytest
from starlette.types import Receive, Scope, Send

from app.cli.connection import (
    BYTES_PER_SECOND,
    MAX_HEAD_BYTES,
    MAX_IGNORED_BYTES,
    MAX_PIECES,
    MAX_PIPELINED,
    BoundedConnection,
    _Pace,
)
from app.cli.connections import MAX_UNFINISHED_BYTES, Connections
from tests.support.live_app import serving
from tests.support.service import wait_until

HOST = b"Host: localhost\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


def of_length(n_bytes: int, path: bytes = b"/") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % n_bytes


class Served:
    """An application that answers with the number of bytes it received, on bounded connections.

    `/early` answers without reading the body, `/big` with 8 MiB, `/slow` when the test says `go`.
    """

    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.loop: asyncio.AbstractEventLoop | None = None
        self.address = ("", 0)
        self.go = threading.Event()
        self.seen_headers: list[list[tuple[bytes, bytes]]] = []
        self.errors: list[Exception] = []

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._answer(scope, receive, send)
        except Exception as error:
            self.errors.append(error)
            raise

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            self.loop = asyncio.get_running_loop()
            for name in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{name}.complete"})
            return
        n_bytes = 0
        while scope["path"] != "/early":
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            n_bytes += len(message["body"])
            if not message["more_body"]:
                break
        self.seen_headers.append(scope["headers"])
        if scope["path"] == "/slow":
            await asyncio.to_thread(self.go.wait)
        content = b" " * (8 << 20) if scope["path"] == "/big" else b"%d" % n_bytes
        headers = [(b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def connect(self, sent: bytes = b"") -> socket.socket:
        opened = socket.create_connection(self.address, timeout=60)
        if sent:
            opened.sendall(sent)
        return opened

    def has_answered(self, n: int) -> bool:
        return len(self.seen_headers) == n

    def statuses(self, sent: bytes) -> list[int]:
        """Of all answers, until the service closes the connection."""
        with closing(self.connect(sent)) as opened:
            return statuses(opened)

    def after(self, seconds: float) -> None:
        """Do what the sweep would do after this time."""

        async def check() -> None:
            for each in list(self.connections._open):
                each.check(each.loop.time() + seconds)

        assert self.loop is not None
        asyncio.run_coroutine_threadsafe(check(), self.loop).result()

    def wait_for(self, n_connections: int, unfinished_bytes: int) -> None:
        wanted = n_connections, unfinished_bytes
        wait_until(lambda: (len(self.connections._open), self.connections.unfinished_bytes) == wanted)


def statuses(opened: socket.socket) -> list[int]:
    received = b""
    while True:
        try:
            part = opened.recv(1 << 20)
        except ConnectionError:
            break
        if not part:
            break
        received += part
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", received)]


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    made = Served(Connections(4, streamed=["/stored"]))
    protocol = partial(BoundedConnection, connections_of_all=made.connections)
    options = {"http": protocol, "ws": "none", "loop": "uvloop", "interface": "asgi3", "timeout_keep_alive": 3_600}
    with serving(made.answer, **options) as address:
        url = urlsplit(address)
        made.address = (str(url.hostname), int(url.port or 0))
        yield made


@pytest.fixture
def served(server: Served) -> Iterator[Served]:
    server.go.clear()
    server.seen_headers.clear()
    yield server
    server.go.set()
    server.wait_for(0, 0)
    assert server.errors == []


def test_answers(served: Served) -> None:
    with closing(served.connect(GET + of_length(3) + b"abc" + GET)) as opened:
        wait_until(lambda: len(served.seen_headers) == 3)
        opened.shutdown(socket.SHUT_WR)
        served.after(60)
        assert statuses(opened) == [200, 200, 200]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (of_length(-1), 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (CHUNKED + b"-1\r\n\r\n", 400),
        (CHUNKED + b"1\r\n \r\n" * (MAX_PIECES + 1), 400),
        (b"GET / HTTP/1.1\r\n" + b"x: 1\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nx: " + b"1" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nx: " + b"1" * (MAX_HEAD_BYTES + 1), 431),
        (b"\r\n" * MAX_HEAD_BYTES, 431),
        (b"GET /" + b"1" * MAX_HEAD_BYTES, 414),
        (CHUNKED + b"0\r\n" + b"x: 1\r\n" * 1_000 + b"x: " + b"1" * 20_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", 200),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}", 501),
    ],
)
def test_refused(served: Served, sent: bytes, status: int) -> None:
    """And the connection is closed, by the service."""
    assert served.statuses(sent) == [status]


def test_trailers(served: Served) -> None:
    with closing(served.connect(CHUNKED + b"2\r\nab\r\n0\r\nHost: evil\r\n\r\n" + GET)):
        wait_until(lambda: len(served.seen_headers) == 2)
    assert [dict(headers)[b"host"] for headers in served.seen_headers] == [b"localhost", b"localhost"]


def test_garbage_behind_a_request(served: Served) -> None:
    """The earlier request gets its own answer, and no other."""
    with closing(served.connect(GET.replace(b"/", b"/slow", 1) + GET + b"\0 nonsense")) as opened:
        wait_until(lambda: len(served.seen_headers) == 1)
        served.go.set()
        assert statuses(opened) == [200]


def test_many_pipelined(served: Served) -> None:
    with closing(served.connect(GET.replace(b"/", b"/slow", 1) + GET * (MAX_PIPELINED + 1))) as opened:
        wait_until(lambda: len(served.seen_headers) == 1)
        served.go.set()
        assert statuses(opened) == [200]


@pytest.mark.parametrize("sent", [b"", b"GET / HT", of_length(9) + b"body"])
def test_slow_request(served: Served, sent: bytes) -> None:
    with closing(served.connect(sent)) as opened:
        served.wait_for(1, len(sent))
        served.after(0)
        served.after(3)
        served.wait_for(1, len(sent))
        served.after(10)
        assert statuses(opened) == [408] * bool(sent)


def test_pace() -> None:
    """A steady body may take longer than one that stops, but not for ever."""
    steady, stopped, slow = _Pace(0), _Pace(0), _Pace(0)
    assert [steady.is_late(second, BYTES_PER_SECOND * second) for second in (5, 10, 30, 59, 61)] == [False] * 4 + [True]
    assert [stopped.is_late(second, 3_000_000) for second in (5, 12, 14)] == [False, False, True]
    assert [slow.is_late(second, 100 * second) for second in (5, 7, 10)] == [False, False, True]
    unlimited = _Pace(0, math.inf)
    assert [unlimited.is_late(second, BYTES_PER_SECOND * second) for second in (5, 61, 3_600)] == [False] * 3


def test_slow_after_a_request(served: Served) -> None:
    """The deadline of the second head counts from the answer to the first request."""
    with closing(served.connect(GET + b"GET /")) as opened:
        wait_until(lambda: len(served.seen_headers) == 1)
        opened.sendall(b" HT")
        served.wait_for(1, 3)
        served.after(10)
        assert statuses(opened) == [200, 408]


def test_unread_answer(served: Served) -> None:
    with closing(served.connect(GET.replace(b"/", b"/big", 1))):
        wait_until(lambda: any(each.unread_bytes for each in served.connections._open))
        served.after(0)
        served.after(3)
        served.wait_for(1, 0)
        served.after(20)


def test_unread_pipelined(served: Served) -> None:
    """The application that makes the next answer does not write it to a connection that is gone."""
    with closing(served.connect(GET.replace(b"/", b"/big", 1) * 3)):
        wait_until(lambda: any(each.unread_bytes for each in served.connections._open))
        served.after(0)
        served.after(20)
        served.wait_for(0, 0)
        wait_until(lambda: len(served.seen_headers) == 2)


def test_unread_answers(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that have been unread for longest are dropped for the others."""
    big = GET.replace(b"/", b"/big", 1)
    with closing(served.connect(big)) as oldest, closing(served.connect(big)) as old:
        wait_until(lambda: sum(each.unread_bytes > 0 for each in served.connections._open) == 2)
        monkeypatch.setattr("app.cli.connections.MAX_UNREAD_BYTES", served.connections.unread_bytes * 5 // 4)
        time.sleep(0.01)
        with closing(served.connect(big)) as newest:
            wait_until(lambda: len(served.connections._open) == 1)
            n_bytes = 0
            while n_bytes < 8 << 20:
                n_bytes += len(newest.recv(1 << 20))
            wait_until(lambda: served.connections.unread_bytes == 0)
        assert statuses(oldest) == statuses(old) == [200]  # what the peer's system had received


def test_body_of_an_answered_request(served: Served) -> None:
    """What follows the answer is read for a while, so that the peer sees the answer, and then no more."""
    with closing(served.connect(of_length(1 << 30, b"/early"))) as opened:
        with suppress(ConnectionError):
            opened.sendall(b" " * (4 * MAX_IGNORED_BYTES))
        assert statuses(opened) == [200]


def test_large_body_of_an_answered_request(served: Served) -> None:
    """The answer says that no other request can follow, and arrives although the peer is still sending."""
    with closing(served.connect(of_length(2 * MAX_IGNORED_BYTES, b"/early"))) as opened:
        opened.sendall(b"x" * (MAX_IGNORED_BYTES // 2))
        head = opened.recv(1 << 16)
        assert (head[:12], b"connection: close\r\n" in head) == (b"HTTP/1.1 200", True)
        opened.sendall(b"x" * (MAX_IGNORED_BYTES // 2))
        assert opened.recv(1) in {b"0", b""}  # the end of the body may have come with the head


def test_large_body(served: Served) -> None:
    n_bytes = 2 * MAX_IGNORED_BYTES
    assert served.statuses(of_length(n_bytes) + b"x" * n_bytes) == [200]


def test_idle_and_unread(served: Served) -> None:
    """Answers that fit into the buffers of the system are not kept for a peer that does not read them."""
    with closing(socket.socket()) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        opened.connect(served.address)
        for n in range(50):
            opened.sendall(GET * MAX_PIPELINED)
            wait_until(partial(served.has_answered, (n + 1) * MAX_PIPELINED))
        (connection,) = served.connections._open
        assert connection._unsent_bytes() > 0
        assert served.loop is not None
        served.loop.call_soon_threadsafe(connection.timeout_keep_alive_handler)
        wait_until(lambda: not served.connections._open)
        with pytest.raises(ConnectionResetError):
            read_to_the_end(opened)


def read_to_the_end(opened: socket.socket) -> None:
    while opened.recv(1 << 16):
        pass


def test_small_body_of_an_answered_request(served: Served) -> None:
    with closing(served.connect(of_length(3, b"/early") + b"abc" + GET)):
        wait_until(lambda: len(served.seen_headers) == 2)


def test_body_that_waits_for_leave(served: Served) -> None:
    head = b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    assert served.statuses(head) == [200]


def test_full(served: Served) -> None:
    """The connection that has waited longest makes room; one that is being answered does not."""
    with (
        closing(served.connect(GET.replace(b"/", b"/slow", 1))) as busy,
        closing(served.connect(b"GET")) as oldest,
        closing(served.connect()),
        closing(served.connect()),
    ):
        served.wait_for(4, 3)
        with closing(served.connect()) as newest:
            assert statuses(oldest) == []
            served.wait_for(4, 0)
            newest.sendall(GET)
            assert newest.recv(15).endswith(b"200 OK")
        served.go.set()
        assert busy.recv(15).endswith(b"200 OK")


def test_full_of_busy(served: Served) -> None:
    busy = [served.connect(GET.replace(b"/", b"/slow", 1)) for _ in range(4)]
    wait_until(lambda: len(served.seen_headers) == 4)
    with closing(served.connect()) as refused:
        answer = refused.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 1\r\n" in answer
    served.go.set()
    for each in busy:
        assert each.recv(15).endswith(b"200 OK")
        each.close()


def test_no_limit_per_peer() -> None:
    """Behind a proxy all connections have one address, and none makes room for another."""
    made = Served(Connections(0))
    protocol = partial(BoundedConnection, connections_of_all=made.connections)
    with serving(made.answer, http=protocol, ws="none", loop="uvloop", interface="asgi3") as address:
        url = urlsplit(address)
        made.address = (str(url.hostname), int(url.port or 0))
        opened = [made.connect() for _ in range(20)]
        made.wait_for(20, 0)
        for each in opened:
            each.sendall(GET)
            assert each.recv(15).endswith(b"200 OK")
            each.close()


def test_unfinished_bodies(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that take the most for the longest are given up for the others, and the small ones stay."""
    monkeypatch.setattr("app.cli.connections.MAX_UNFINISHED_BYTES", 1_000)
    assert MAX_UNFINISHED_BYTES > 1_000
    with closing(served.connect(b"GET")) as small, closing(served.connect(of_length(2_000) + b" " * 500)) as old:
        wait_until(lambda: served.connections.unfinished_bytes > 500)
        time.sleep(0.01)  # the clock of the loop has steps of a millisecond
        with closing(served.connect(of_length(450) + b" " * 440)) as new:
            assert statuses(old) == [503]
            new.sendall(b" " * 10)
            small.sendall(GET[3:])
            assert new.recv(15).endswith(b"200 OK")
            assert small.recv(15).endswith(b"200 OK")


def test_given_up_body_is_released(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: before the application hears of it, other connections have their turns, and fill memory as well."""
    monkeypatch.setattr("app.cli.connections.MAX_UNFINISHED_BYTES", 1_000)
    kept: list[bytearray] = []
    linger = BoundedConnection._linger

    def watched(connection: BoundedConnection) -> None:
        linger(connection)
        kept.append(connection.cycle.body)

    monkeypatch.setattr(BoundedConnection, "_linger", watched)
    with closing(served.connect(of_length(2_000) + b" " * 1_500)) as peer:
        assert statuses(peer) == [503]
    assert kept == [bytearray()]


@pytest.mark.slow
def test_stored_body(served: Served) -> None:
    """A body that the application stores as it arrives may be larger than what memory holds of all, in any pieces."""
    n_bytes = 2 * MAX_UNFINISHED_BYTES
    assert served.statuses(of_length(n_bytes, b"/stored?x=1") + b"x" * n_bytes) == [200]
    pieces = CHUNKED.replace(b"POST /", b"POST /stored") + b"1\r\nx\r\n" * (2 * MAX_PIECES) + b"0\r\n\r\n"
    assert served.statuses(pieces) == [200]


def test_slow_stored_body(served: Served) -> None:
    """It must arrive at the least rate, though nothing of it waits in memory."""
    with closing(served.connect(of_length(2_000, b"/stored") + b"x" * 1_000)) as slow:
        wait_until(lambda: len(served.connections._open) == 1)
        served.after(1)
        served.after(10)
        assert statuses(slow) == [408]
