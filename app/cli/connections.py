"""The open connections of an API process: how many there may be, and how much all of them may hold.

Time is checked by one sweep over all connections twice a second. A timer for each connection would be set and
cancelled several times a request.
"""

import asyncio
import resource
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

import structlog

from app.api.problems import http_problem

if TYPE_CHECKING:
    from app.cli.connection import BoundedConnection

SWEEP_SECONDS = 0.5

MAX_REFUSED_AT_ONCE, PAUSE_SECONDS = 50, 0.01
"""A sweep that refuses more lets other requests be answered before it goes on."""

LOG_SECONDS = 10.0
"""The log counts refused peers at this interval. A line for each would let them fill the disk."""

MAX_CONNECTIONS = 8_192
SPARE_FILES = 128
"""Descriptors that are left for the database, snapshots and logs when every connection is in use."""

MAX_UNFINISHED_BYTES = 12 << 20
"""Of all requests that are not complete. Beyond it, some of them are given up."""

MAX_UNREAD_BYTES = 12 << 20
"""Of all answers whose readers have let a buffer fill up. Beyond it, some of them are dropped."""

log = structlog.get_logger()


class Connections:
    """The open connections of a process.

    `most_per_peer`: connections from one address; 0: no such limit. `streamed`: paths whose bodies the application
    stores as they arrive, so that they may be large. `count_refused_peer` is called for each refusal, once it is set.

    A connection over a limit takes the place of the one that has waited longest for a request (of the same peer, if
    that is the limit). It is refused only if all of them are being answered.
    """

    def __init__(self, most_per_peer: int, streamed: Collection[str] = ()) -> None:
        self.streamed = frozenset(path.encode() for path in streamed)
        self._most = min(MAX_CONNECTIONS, _raised_file_limit() - SPARE_FILES)
        self._most_per_peer = most_per_peer or self._most
        self._open: dict[BoundedConnection, str] = {}
        self._per_peer: Counter[str] = Counter()
        self._is_sweeping = False
        self._refused: Counter[str] = Counter()
        self.count_refused_peer: Callable[[str], None] = lambda _reason: None
        self._log_at = 0.0
        self.unfinished_bytes = self.unread_bytes = 0

    def add(self, connection: "BoundedConnection") -> bool:
        """Returns false if there is no room for the connection."""
        peer = _peer_of(connection)
        if self._per_peer[peer] >= self._most_per_peer:
            has_room = _close_longest_waiting(each for each, of in self._open.items() if of == peer)
        else:
            has_room = len(self._open) < self._most or _close_longest_waiting(self._open)
        self._open[connection] = peer
        self._per_peer[peer] += 1
        if not self._is_sweeping:
            self._is_sweeping = True
            connection.loop.call_later(SWEEP_SECONDS, self._sweep, connection.loop)
        return has_room

    def remove(self, connection: "BoundedConnection") -> None:
        peer = self._open.pop(connection)
        self._per_peer[peer] -= 1
        if not self._per_peer[peer]:
            del self._per_peer[peer]

    # Both make more room than is needed, because they look at every connection and should not be called again soon.
    # Those go first that have taken the most room for the longest time.
    def give_up_requests(self, now: float) -> None:
        """Refuse unfinished requests beyond `MAX_UNFINISHED_BYTES`, until the others take half of it at most."""
        if self.unfinished_bytes <= MAX_UNFINISHED_BYTES:
            return
        unfinished = [each for each in self._open if each.unfinished_bytes]
        for each in sorted(unfinished, key=lambda each: -each.unfinished_bytes * (now - each.waiting_since)):
            if self.unfinished_bytes <= MAX_UNFINISHED_BYTES // 2:
                return
            each.refuse(http_problem(503, "the service waits for too many unfinished requests"))

    def drop_answers(self, now: float) -> None:
        """Drop unread answers beyond `MAX_UNREAD_BYTES`, until the others take half of it at most."""
        if self.unread_bytes <= MAX_UNREAD_BYTES:
            return
        unread = [each for each in self._open if each.unread_bytes]
        for each in sorted(unread, key=lambda each: -each.unread_bytes * (now - each.waiting_since)):
            if self.unread_bytes <= MAX_UNREAD_BYTES // 2:
                return
            each.reset()

    def count_refused(self, detail: str, reason: str) -> None:
        """`detail`: for the log. `reason`: for the metrics, one of few."""
        self._refused[detail] += 1
        self.count_refused_peer(reason)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        n_refused = self._refused.total()
        is_whole = True
        for connection in list(self._open):
            connection.check(now)
            if self._refused.total() - n_refused >= MAX_REFUSED_AT_ONCE:
                is_whole = False
                break
        if self._refused and now >= self._log_at:
            log.warning("peers refused", reasons=dict(self._refused))
            self._refused.clear()
            self._log_at = now + LOG_SECONDS
        self._is_sweeping = bool(self._open or self._refused)
        if self._is_sweeping:
            loop.call_later(SWEEP_SECONDS if is_whole else PAUSE_SECONDS, self._sweep, loop)


def _raised_file_limit() -> int:
    """Raise the number of files that this process may open as far as the system allows, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def _peer_of(connection: "BoundedConnection") -> str:
    """The address of the peer; of IPv6 the network, since one peer has all addresses of a network of 64 bits."""
    if connection.client is None:
        return ""
    address = ip_address(connection.client[0].partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(int(address) >> 64)
    return str(address)


def _close_longest_waiting(connections: Iterable["BoundedConnection"]) -> bool:
    """Returns false if none of the connections waits for a request."""
    waiting = [each for each in connections if each.waits_for_head and not each.is_closing]
    if waiting:
        min(waiting, key=lambda each: each.waiting_since).transport.abort()
    return bool(waiting)
