"""An open-loop load over HTTP/1.1: requests start at fixed times, whether or not earlier ones were answered.

A closed loop, which waits for each answer before it asks again, asks less of a slow service and so hides how slow it
is. Here every time is measured from the moment at which the request was to start, also if it started late.

    with load(service.address, lambda n: Request("GET", f"/users/u{n % 60}/home"), per_second=200) as answers:
        break_something()
    assert answers.share(200) > 0.999
"""

import asyncio
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import uvloop

NO_ANSWER = 0
"""The status of a request that was refused, cut off or not answered in time."""

ANSWER_SECONDS = 15.0
MAX_CONNECTIONS = 2_000


@dataclass(frozen=True, slots=True)
class Request:
    """`kind`: under which it is counted, such as `read`. `body`: JSON."""

    method: str
    path: str
    body: bytes = b""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """`at`: `time.monotonic()` at which the request was to start. `seconds`: from then until the end of the answer.

    `status`: `NO_ANSWER` without one. `headers`: as received, without the status line. `number`: of the request.
    """

    request: Request
    number: int
    at: float
    seconds: float
    status: int
    headers: bytes = b""
    body: bytes = b""


@dataclass(slots=True)
class Answers:
    """What a load saw, in the order in which the answers came. Complete after the end of the block of `load`."""

    all: list[Answer] = field(default_factory=list)

    def of(self, kind: str, since: float = 0.0, until: float = float("inf")) -> "Answers":
        """The answers of this kind to requests that were to start in the given time."""
        return Answers([each for each in self.all if each.request.kind == kind and since <= each.at < until])

    def __len__(self) -> int:
        return len(self.all)

    def share(self, *statuses: int) -> float:
        """Of all requests, those with one of the statuses; 1 without requests."""
        return self.count(*statuses) / len(self.all) if self.all else 1.0

    def count(self, *statuses: int) -> int:
        return sum(each.status in statuses for each in self.all)

    @property
    def statuses(self) -> str:
        """Such as `200: 5,812, 503: 14`."""
        counted = Counter(each.status for each in self.all)
        return ", ".join(f"{status or 'none'}: {n:,}" for status, n in sorted(counted.items()))

    def slowest(self) -> float:
        """Seconds."""
        return max((each.seconds for each in self.all), default=0.0)

    def percentile(self, percent: float) -> float:
        """Seconds."""
        times = sorted(each.seconds for each in self.all)
        return times[min(len(times) - 1, int(len(times) * percent / 100))] if times else 0.0


@contextmanager
def load(
    address: str,
    choose: Callable[[int], Request],
    *,
    per_second: float,
    keeps_bodies: bool = False,
    answer_seconds: float = ANSWER_SECONDS,
) -> Iterator[Answers]:
    """Sends `per_second` requests until the end of the block, from a thread, then waits for the answers.

    `choose`: number of the request, from 0, -> the request. `keeps_bodies`: whether answers hold bodies and headers.
    """
    generator = _Generator(address, choose, per_second, answer_seconds, keeps_bodies=keeps_bodies)
    thread = threading.Thread(target=generator.run, name="load")
    thread.start()
    try:
        yield generator.answers
    finally:
        generator.is_stopping = True
        thread.join()
    if generator.error is not None:
        raise generator.error


def peak_rate(address: str, choose: Callable[[int], Request], *, seconds: float, connections: int = 16) -> float:
    """Answers with status 200 a second, where every connection asks again as soon as it is answered."""
    generator = _Generator(address, choose, 0.0, ANSWER_SECONDS, keeps_bodies=False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(generator.send_in_turn(connections, seconds))
    return generator.answers.count(200) / seconds


class _Generator:
    def __init__(
        self,
        address: str,
        choose: Callable[[int], Request],
        per_second: float,
        answer_seconds: float,
        *,
        keeps_bodies: bool,
    ) -> None:
        url = urlsplit(address)
        self.host, self.port = str(url.hostname), int(url.port or 80)
        self.choose = choose
        self.per_second = per_second
        self.answer_seconds = answer_seconds
        self.keeps_bodies = keeps_bodies
        self.answers = Answers()
        self.is_stopping = False
        self.error: Exception | None = None
        self.idle: list[_Connection] = []
        self.n_connections = 0

    def run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._send_all())
        except Exception as error:  # noqa: BLE001  for the thread that waits
            self.error = error

    async def _send_all(self) -> None:
        started = time.monotonic()
        pending: set[asyncio.Task[None]] = set()
        number = 0
        while not self.is_stopping:
            due = int((time.monotonic() - started) * self.per_second) + 1
            for each in range(number, due):
                task = asyncio.create_task(self._send(each, started + each / self.per_second))
                pending.add(task)
                task.add_done_callback(pending.discard)
            number = max(number, due)
            await asyncio.sleep(max(0.0, started + number / self.per_second - time.monotonic()))
        if pending:
            await asyncio.gather(*pending)
        for connection in self.idle:
            connection.close()

    async def send_in_turn(self, connections: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        numbers = itertools.count()

        async def send_on() -> None:
            while (now := time.monotonic()) < until:
                await self._send(next(numbers), now)

        await asyncio.gather(*(send_on() for _ in range(connections)))
        for connection in self.idle:
            connection.close()

    async def _send(self, number: int, at: float) -> None:
        request = self.choose(number)
        status, headers, body = NO_ANSWER, b"", b""
        try:
            async with asyncio.timeout(self.answer_seconds):
                status, headers, body = await self._answer_to(request)
        except (OSError, TimeoutError):
            pass
        seconds = time.monotonic() - at
        if not self.keeps_bodies:
            headers = body = b""
        self.answers.all.append(Answer(request, number, at, seconds, status, headers, body))

    async def _answer_to(self, request: Request) -> tuple[int, bytes, bytes]:
        while True:
            is_reused = bool(self.idle)
            connection = self.idle.pop() if is_reused else await self._connect()
            try:
                answer = await connection.send(request)
            except ConnectionError:
                # The server may close an idle connection at any time: only then the request is sent again.
                if is_reused and not connection.received:
                    continue
                raise
            except BaseException:
                connection.close()
                raise
            if not connection.is_closed:
                self.idle.append(connection)
            return answer

    async def _connect(self) -> "_Connection":
        if self.n_connections >= MAX_CONNECTIONS:
            raise ConnectionRefusedError("too many connections")
        self.n_connections += 1
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), self.host, self.port
            )
        except BaseException:
            self.n_connections -= 1
            raise
        return connection


class _Connection(asyncio.Protocol):
    """A kept-alive connection with one request at a time."""

    def __init__(self, generator: _Generator) -> None:
        self._generator = generator
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes, bytes]] | None = None
        self.received = b""
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # of a connection over TCP

    async def send(self, request: Request) -> tuple[int, bytes, bytes]:
        if self._transport is None or self.is_closed:
            raise ConnectionResetError("closed while idle")
        self.received = b""
        self._answer = asyncio.get_running_loop().create_future()
        head = f"{request.method} {request.path} HTTP/1.1\r\nhost: {self._generator.host}\r\n"
        if request.body or request.method not in {"GET", "DELETE"}:
            head += f"content-type: application/json\r\ncontent-length: {len(request.body)}\r\n"
        self._transport.write(head.encode() + b"\r\n" + request.body)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end or self._answer is None or self._answer.done():
            return
        status_line, _, headers = head.partition(b"\r\n")
        status = int(status_line.split()[1])
        _, has_length, rest = headers.lower().partition(b"content-length:")
        length = int(rest.split(b"\r\n", 1)[0]) if has_length else 0
        if len(body) >= length:
            if b"connection: close" in headers.lower():
                self.close()
            self._answer.set_result((status, headers, body))

    def connection_lost(self, _error: Exception | None) -> None:
        self._generator.n_connections -= 1
        self.is_closed = True
        if self in self._generator.idle:
            self._generator.idle.remove(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("cut off"))

    def close(self) -> None:
        self.is_closed = True
        if self._transport is not None:
            self._transport.close()
