"""Hostile peers as raw sockets: what they send, and how long it takes until the service refuses it.

Each attack comes from a loopback address of its own, as a peer that is not the one with the good requests. `attack`
runs in a process of its own, since it keeps a core busy.
"""

import gzip
import multiprocessing
import re
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, suppress
from itertools import repeat
from typing import NamedTuple

GIVE_UP_SECONDS = 25.0
MOST_SOCKETS = 500
"""Open at once: what a host with few descriptors has, and what was measured before there were deadlines."""
NEVER = float("inf")
MIB = 1 << 20

HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json\r\n"
GET = b"GET /livez HTTP/1.1\r\n" + HOST
POST = b"POST /ratings HTTP/1.1\r\n" + HOST + JSON
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BIG_GET = b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n"


class Outcome(NamedTuple):
    """`seconds`: from the first byte until the refusal, `NEVER` without one. `status`: of the last answer; 0: none."""

    seconds: float
    status: int


def with_length(body: bytes, headers: bytes = b"") -> bytes:
    return POST + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def endless(start: bytes, part: bytes, times: int) -> Iterator[bytes]:
    yield start
    yield from repeat(part, times)


def _keys(number: int) -> bytes:
    return b"{" + b",".join(b'"%d":1' % key for key in range(number)) + b"}"


FLOODS: dict[str, Callable[[], Iterator[bytes]]] = {
    "body of 1 GiB": lambda: endless(POST + b"Content-Length: %d\r\n\r\n" % (1 << 30), b" " * MIB, 1_024),
    "chunked body of 1 GiB": lambda: endless(CHUNKED, b"100000\r\n" + b" " * MIB + b"\r\n", 1_024),
    "200,000 chunks of a byte": lambda: endless(CHUNKED, b"1\r\n \r\n" * 1_000, 200),
    "header of 50 MiB": lambda: endless(GET + b"x: ", b"x" * MIB, 50),
    "50 MiB of headers": lambda: endless(GET, b"x: 1\r\n" * 100_000, 87),
    "address of 50 MiB": lambda: endless(b"GET /", b"x" * MIB, 50),
    "50 MiB of empty lines": lambda: endless(b"", b"\r\n" * (MIB // 2), 50),
    "50 MiB of trailers": lambda: endless(CHUNKED + b"0\r\n", b"x: 1\r\n" * 100_000, 87),
    "200,000 pipelined requests": lambda: endless(b"", (GET + b"\r\n") * 1_000, 200),
    "gzip bomb": lambda: iter([with_length(gzip.compress(b" " * (512 * MIB // 8)), b"Content-Encoding: gzip\r\n")]),
    "JSON 100,000 deep": lambda: iter([with_length(b"[" * 100_000)]),
    "90,000 JSON keys": lambda: iter([with_length(_keys(90_000))]),
    "number of 900,000 digits": lambda: iter([with_length(b'{"value":' + b"9" * 900_000 + b"}")]),
    "negative length": lambda: iter([POST + b"Content-Length: -1\r\n\r\n"]),
    "two lengths": lambda: iter([POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"]),
    "length and chunks": lambda: iter([POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]),
    "HTTP/0.9": lambda: iter([b"GET /livez\r\n\r\n"]),
    "bare line feeds": lambda: iter([b"GET /livez HTTP/1.1\nHost: localhost\n\n"]),
    "TLS": lambda: iter([bytes.fromhex("16030100a5010000a10303") + b"\0" * 160]),
    "upgrade with a body": lambda: iter([with_length(b"{}", b"Connection: upgrade\r\nUpgrade: h2c\r\n")]),
    "body that waits for leave": lambda: iter([POST + b"Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n"]),
    "foreign Host": lambda: iter([b"GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n"]),
}
"""What a peer sends as fast as it can."""

TRICKLES: dict[str, tuple[bytes, bytes]] = {
    "idle": (b"", b""),
    "idle after a request": (GET + b"\r\n", b""),
    "trickled head": (GET + b"x: ", b"x"),
    "trickled empty lines": (b"", b"\r\n"),
    "trickled body": (POST + b"Content-Length: 1000\r\n\r\n", b" "),
    "trickled chunks": (CHUNKED, b"1\r\n \r\n"),
    "stopped in a body": (POST + b"Content-Length: %d\r\n\r\n" % MIB + b" " * (MIB - 1), b""),
    "unread answers": (BIG_GET * 20, b""),
}
"""What a peer sends first, and then every half second, without reading. The bodies take `MIB` each."""


def attack(host: str, port: int, n_sockets: int) -> tuple[dict[str, Outcome], dict[str, list[float]]]:
    """Every flood once, then every trickle with `n_sockets` sockets, as many trickles at once as `MOST_SOCKETS` allows.

    Returns the floods' outcomes, and the seconds until each socket was cut off.
    """
    floods = {
        name: flood(f"127.0.1.{number}", (host, port), parts())
        for number, (name, parts) in enumerate(FLOODS.items(), 1)
    }
    at_once = max(1, MOST_SOCKETS // max(n_sockets, 1))
    names = list(TRICKLES)
    cut: dict[str, list[float]] = {}
    for start in range(0, len(names), at_once):
        cut |= trickle((host, port), n_sockets, names[start : start + at_once])
    return floods, cut


def attack_in_a_process(host: str, port: int, n_sockets: int) -> tuple[dict[str, Outcome], dict[str, list[float]]]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(attack, host, port, n_sockets).result()


def flood(peer: str, address: tuple[str, int], parts: Iterator[bytes]) -> Outcome:
    """Send the parts, as far as the service takes them, until it refuses them."""
    started = time.monotonic()
    received, left = b"", b""
    with closing(socket.create_connection(address, source_address=(peer, 0))) as opened:
        opened.setblocking(False)
        while time.monotonic() - started < GIVE_UP_SECONDS:
            left = left or next(parts, b"")
            readable, writable, _ = select.select([opened], [opened] if left else [], [], 0.5)
            try:
                if readable:
                    part = opened.recv(MIB)
                    received += part
                    statuses = _statuses(received)
                    if not part or (statuses and statuses[-1] >= 400):
                        return Outcome(time.monotonic() - started, (statuses or [0])[-1])
                if writable:
                    left = left[opened.send(left) :]
            except ConnectionError:
                return Outcome(time.monotonic() - started, (_statuses(received) or [0])[-1])
    return Outcome(NEVER, (_statuses(received) or [0])[-1])


def _statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", received)]


def trickle(address: tuple[str, int], n_sockets: int, names: Sequence[str]) -> dict[str, list[float]]:
    """Seconds until each socket was cut off, by attack; `NEVER` where it was not."""
    cut: dict[str, list[float]] = {name: [] for name in names}
    open_sockets: dict[int, tuple[socket.socket, str, float]] = {}
    events = select.poll()
    for number, name in enumerate(names, 100):
        first, _ = TRICKLES[name]
        for _ in range(n_sockets):
            opened = socket.socket()
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            opened.bind((f"127.0.2.{number}", 0))
            opened.connect(address)
            open_sockets[opened.fileno()] = opened, name, time.monotonic()
            events.register(opened, select.POLLRDHUP)
            opened.setblocking(False)
            with suppress(BlockingIOError, ConnectionError):
                opened.send(first)
    started = time.monotonic()
    while open_sockets and time.monotonic() - started < GIVE_UP_SECONDS:
        for descriptor, _ in events.poll(500):
            opened, name, since = open_sockets.pop(descriptor)
            cut[name].append(time.monotonic() - since)
            events.unregister(descriptor)
            opened.close()
        for opened, name, _ in open_sockets.values():
            with suppress(BlockingIOError, ConnectionError):
                opened.send(TRICKLES[name][1])
        time.sleep(0.25)
    for opened, name, _ in open_sockets.values():
        cut[name].append(NEVER)
        opened.close()
    return cut
