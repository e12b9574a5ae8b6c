"""What is refused under overload, on an application that does what a test wants."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.api import admission
from app.api.admission import (
    FEWEST_IN_TURN,
    FEWEST_READS,
    FIRST_READS,
    IN_TIME_SECONDS,
    MOST_READS,
    MOST_WRITES,
    Admission,
    Progress,
)

Handler = Callable[[Receive], Awaitable[None]]


@pytest.fixture(autouse=True)
def long_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is."""
    monkeypatch.setattr(admission, "MAX_TURN_SECONDS", 60.0)


async def ask(app: Admission, path: str = "/users/ann/home", method: str = "GET") -> int:
    """The status."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.request"}

    await app({"type": "http", "method": method, "path": path, "headers": []}, receive, send)
    return int(sent[0]["status"])


def answering(handle: Handler) -> Admission:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await handle(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return Admission(app)


async def statuses_of(app: Admission, n: int, **request: Any) -> list[int]:
    return list(await asyncio.gather(*(ask(app, **request) for _ in range(n))))


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [
        ("GET", "/users/ann/home", FIRST_READS),
        ("POST", "/recommendations/batch", FIRST_READS),
        ("POST", "/placements/home/preview", FIRST_READS),
        ("POST", "/ratings", MOST_WRITES),
        ("PUT", "/placements/home", MOST_WRITES),
        ("POST", "/placements/home/versions/1/restore", MOST_WRITES),
        ("DELETE", "/users/ann", MOST_WRITES),
    ],
)
def test_number_in_progress(method: str, path: str, most: int) -> None:
    async def run() -> None:
        go_on = asyncio.Event()

        async def wait(_receive: Receive) -> None:
            await go_on.wait()

        app = answering(wait)
        waiting = [asyncio.create_task(ask(app, path, method)) for _ in range(most)]
        await asyncio.sleep(0)
        assert await ask(app, path, method) == 503
        other = ("POST", "/events") if most == FIRST_READS else ("GET", "/charts/newest")
        go_on.set()
        assert await ask(app, other[1], other[0]) == 200
        assert set(await asyncio.gather(*waiting)) == {200}
        assert await ask(app, path, method) == 200

    asyncio.run(run())


def test_long_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers that wait for nothing: those that begin late in a turn of the loop are refused, the first ones never."""

    async def run(n_answered: int) -> None:
        async def answer(_receive: Receive) -> None:
            pass  # at once, as a list on SQLite

        app = answering(answer)
        for _ in range(2):
            n = FEWEST_IN_TURN + 6
            assert await statuses_of(app, n) == [200] * n_answered + [503] * (n - n_answered)
            await asyncio.sleep(0)

    asyncio.run(run(n_answered=FEWEST_IN_TURN + 6))
    monkeypatch.setattr(admission, "MAX_TURN_SECONDS", 0.0)  # every turn is too long
    asyncio.run(run(n_answered=FEWEST_IN_TURN))


def test_probes_pass() -> None:
    async def run() -> None:
        go_on = asyncio.Event()

        async def wait(_receive: Receive) -> None:
            await go_on.wait()

        app = answering(wait)
        waiting = [asyncio.create_task(ask(app)) for _ in range(FIRST_READS)]
        probes = [asyncio.create_task(ask(app, path)) for path in ("/livez", "/readyz", "/metrics")]
        await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(*probes) == [200] * 3
        await asyncio.gather(*waiting)

    asyncio.run(run())


def test_body_that_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers who send slowly take no place from others."""
    monkeypatch.setattr(admission, "MOST_WRITES", 1)

    async def run() -> None:
        async def read(receive: Receive) -> None:
            for _ in range(5):
                await receive()

        assert await statuses_of(answering(read), 20, path="/ratings", method="POST") == [200] * 20

    asyncio.run(run())


def test_limit_follows_times() -> None:
    progress = Progress(FIRST_READS)
    for n in range(100):
        progress.ended(2 * IN_TIME_SECONDS, now=1 + n * 2 * IN_TIME_SECONDS)
    assert progress.most == FEWEST_READS
    progress.ended(0.01, now=1e3)
    assert progress.most == FEWEST_READS  # it was not used up
    for _ in range(1_000):
        progress.n = progress.most
        progress.ended(0.01, now=1e3)
    assert progress.most == MOST_READS


def test_one_lowering_for_a_burst() -> None:
    progress = Progress(FIRST_READS)
    for n in range(50):
        progress.ended(2 * IN_TIME_SECONDS, now=100 + n / 1_000)
    assert progress.most == FIRST_READS * 7 // 10
