"""Snapshots swapped while four processes answer: nothing fails, nothing is mixed, every process follows at once."""

import asyncio
import itertools
import json
import statistics
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.serving_data import served_data, train
from benchmarks.table import Row
from tests.support.service import Instance, RunningService

SWAPS, PROCESSES = 200, 4
REQUESTS_PER_SECOND = 200
PER_PROCESS, TRIES = 8, 200
N_ASKED = 50
PATIENCE_SECONDS = 10.0

CachedResponse = tuple[tuple[str, float, float | None], ...]
"""Item, score and predicted rating of every place of the list."""


@dataclass(slots=True)
class Connection:
    """A kept-alive connection, which stays with one process.

    `version`: the snapshot version of the last answer, to the request sent at `asked_at`.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    version: int | None = None
    asked_at: float = 0.0

    async def get(self, path: str) -> tuple[int, Any]:
        self.writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await self.reader.readexactly(int(length.split(b":")[1]))
        return int(head.split(b" ", 2)[1]), json.loads(body)

    async def recommendations(self, user: int) -> tuple[int, int, CachedResponse]:
        """Status, snapshot version and list."""
        asked_at = time.monotonic()
        status, body = await self.get(f"/users/u{user}/recommendations?limit=20")
        if status != 200:
            return status, 0, ()
        self.version, self.asked_at = body["snapshot_version"], asked_at
        items = ((item["item_id"], item["score"], item["predicted_rating"]) for item in body["items"])
        return status, body["snapshot_version"], tuple(items)


@dataclass
class Watch:
    """What all connections saw. `expected`: snapshot version -> user -> list."""

    expected: Mapping[int, Mapping[int, CachedResponse]]
    connections: list[Connection] = field(default_factory=list)
    n_answers: int = 0
    n_errors: int = 0
    n_mixed: int = 0
    seconds: list[float] = field(default_factory=list)

    async def ask_on(self, connection: Connection) -> None:
        for user in itertools.cycle(range(1, N_ASKED + 1)):
            since = time.monotonic()
            try:
                status, version, answer = await connection.recommendations(user)
            except (OSError, EOFError):
                self.n_errors += 1
                return
            self.n_answers += 1
            self.n_errors += status != 200
            self.n_mixed += status == 200 and self.expected.get(version, {}).get(user) != answer
            await asyncio.sleep(max(0.0, len(self.connections) / REQUESTS_PER_SECOND - (time.monotonic() - since)))

    async def swap(self, service: RunningService, version: int) -> None:
        """Activate, and wait until the last answer of every connection is from that version."""
        await activate(service, version)
        since = time.monotonic()
        while not all(each.version == version and each.asked_at > since for each in self.connections):
            if time.monotonic() > since + PATIENCE_SECONDS:
                self.n_errors += 1
                break
            await asyncio.sleep(0.005)
        self.seconds.append(time.monotonic() - since)


def swap_rows() -> list[Row]:
    with served_data() as data_dir:
        train(data_dir, seed=1)  # other start values, so other scores for every user
        with Instance(data_dir).serving("--processes", str(PROCESSES), "--no-worker") as service:
            watch = asyncio.run(_swapped(service))
    measured = f"{watch.n_errors} errors, {watch.n_mixed} mixed, last process after {max(watch.seconds):.2f} s"
    note = f"{watch.n_answers:,} answers; a swap is everywhere after {statistics.median(watch.seconds):.2f} s"
    what = f"{SWAPS} snapshot swaps, {PROCESSES} processes, {REQUESTS_PER_SECOND} requests/s"
    return [Row(what, "0 errors, 0 mixed, <= 2 s", measured, note)]


async def _swapped(service: RunningService) -> Watch:
    expected = {version: await _expected(service, version) for version in (1, 2)}
    differing = sum(expected[1][user] != expected[2][user] for user in expected[1])
    if differing < N_ASKED:
        raise RuntimeError(f"only {differing} of {N_ASKED} users can tell the snapshots apart")
    watch = Watch(expected)
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(watch.ask_on(each)) async for each in _connections(service, watch)]
        for n in range(SWAPS):
            await watch.swap(service, n % 2 + 1)
        for task in asking:
            task.cancel()
    return watch


async def _connections(service: RunningService, watch: Watch) -> AsyncIterator[Connection]:
    """Up to `PER_PROCESS` to every process; the surplus of one that takes more is closed again."""
    n_kept = dict.fromkeys(service.children(), 0)
    for n in itertools.count():
        if min(n_kept.values()) == PER_PROCESS or (n > TRIES and all(n_kept.values())):
            return
        connection = await _connection(service)
        await connection.recommendations(1)
        taken_by = _taken_by(n_kept, connection.writer.get_extra_info("sockname")[1])
        if n_kept[taken_by] < PER_PROCESS:
            n_kept[taken_by] += 1
            watch.connections.append(connection)
            yield connection
        else:
            connection.writer.close()


async def _connection(service: RunningService) -> Connection:
    address = urlsplit(service.address)
    return Connection(*await asyncio.open_connection(address.hostname, address.port))


def _taken_by(processes: Iterable[int], client_port: int) -> int:
    """The process that holds the other end of our connection from `client_port`."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    inode = next(row[9] for row in rows if row[2].endswith(f":{client_port:04X}"))
    return next(pid for pid in processes if f"socket:[{inode}]" in _open_files(pid))


def _open_files(pid: int) -> set[str]:
    return {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}


async def _expected(service: RunningService, version: int) -> dict[int, CachedResponse]:
    await activate(service, version)
    connection = await _connection(service)
    while (await connection.recommendations(1))[1] != version:
        pass
    expected = {user: (await connection.recommendations(user))[2] for user in range(1, N_ASKED + 1)}
    connection.writer.close()
    return expected


async def activate(service: RunningService, version: int) -> None:
    status, body = await asyncio.to_thread(partial(service.call, "POST", f"/snapshots/{version}/activate"))
    if status != 200:
        raise RuntimeError(body)
