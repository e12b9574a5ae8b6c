"""Retries, timeouts, errors and unreadable answers, on real sockets with scripted answers."""

import asyncio
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from app.client import (
    NO_RETRIES,
    AsyncReckon,
    ConnectionFailedError,
    ForbiddenError,
    InvalidInputError,
    ProblemError,
    RateLimitedError,
    Rating,
    Reckon,
    ReckonError,
    Retries,
    StorageFullError,
    TimedOutError,
    UnauthorizedError,
    UnavailableError,
    UnreadableAnswerError,
)
from app.client.errors import retry_after_seconds
from tests.client.conftest import Waiting
from tests.support.scripted_server import DROPPED, Reply, problem, scripted

Connect = Callable[..., Reckon]

QUICK = Retries(first_delay_seconds=0.001)
STORED = Reply(201, '{"user_id": "u", "item_id": "i", "value": 4.0, "rated_at": null}')
PAGE = Reply(200, '{"items": [], "next_cursor": null}')


@pytest.fixture(params=["blocking", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """A client of the given address and options, of either kind."""
    opened: list[Any] = []

    def open_client(address: str, **options: Any) -> Any:
        # Long timeouts: the machine may be busy.
        defaults: dict[str, Any] = {"retries": QUICK, "read_timeout_seconds": 50, "write_timeout_seconds": 50}
        options = defaults | options
        is_blocking = request.param == "blocking"
        opened.append(Reckon(address, **options) if is_blocking else Waiting(AsyncReckon(address, **options)))
        return opened[-1]

    yield open_client
    for client in opened:
        client.close()


@pytest.mark.parametrize("failure", [problem(429), problem(502), problem(503), problem(504), DROPPED])
def test_tried_again(connect: Connect, failure: Reply) -> None:
    with scripted(failure, failure, Reply()) as server:
        assert connect(server.address).livez().status == "ok"
        assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 422, 500, 507])
def test_not_tried_again(connect: Connect, status: int) -> None:
    with scripted(problem(status)) as server:
        with pytest.raises(ProblemError) as caught:
            connect(server.address).livez()
        assert (caught.value.status, caught.value.request_id, len(server.asked)) == (status, "r", 1)


def test_given_up(connect: Connect) -> None:
    with scripted(problem(503)) as server:
        with pytest.raises(UnavailableError):
            connect(server.address).livez()
        assert len(server.asked) == 3
        with pytest.raises(UnavailableError):
            connect(server.address, retries=NO_RETRIES).livez()
        assert len(server.asked) == 4


def test_writes_tried_again(connect: Connect) -> None:
    """Each time with the same body and the same key."""
    with scripted(DROPPED, STORED) as server:
        assert connect(server.address).rate("u", "i", 4).value == 4
        assert len({asked.body for asked in server.asked}) == 1
        assert len(server.asked) == 2
        keys = [asked.headers["idempotency-key"] for asked in server.asked]
        assert len(set(keys)) == 1
        connect(server.address).rate("u", "i", 4)
        assert server.asked[-1].headers["idempotency-key"] != keys[0]


@pytest.mark.parametrize("failure", [problem(503), DROPPED])
def test_training_asked_for_again(connect: Connect, failure: Reply) -> None:
    """The job may have been queued: by the key the service knows that it is the same request."""
    with scripted(failure) as server:
        with pytest.raises(ReckonError):
            connect(server.address).train()
        assert len(server.asked) > 1
        assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1


def test_reads_have_no_key(connect: Connect) -> None:
    with scripted(Reply()) as server:
        connect(server.address).livez()
        assert "idempotency-key" not in server.asked[0].headers


def test_not_yet_listening(connect: Connect) -> None:
    """A request that was never sent is repeated."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    up, done = threading.Event(), threading.Event()

    def listen_late() -> None:
        time.sleep(0.1)
        with scripted(problem(500), bound=bound):
            up.set()
            done.wait(60)

    late = threading.Thread(target=listen_late)
    late.start()
    try:
        patient = Retries(attempts=1_000, first_delay_seconds=0.02, longest_delay_seconds=0.02, burst=1_000)
        with pytest.raises(ProblemError):
            connect(f"http://127.0.0.1:{bound.getsockname()[1]}", retries=patient).train()
        assert up.is_set()
    finally:
        done.set()
        late.join()


def test_not_listening(connect: Connect) -> None:
    with socket.socket() as bound:  # bound, but not listening
        bound.bind(("127.0.0.1", 0))
        client = connect(f"http://127.0.0.1:{bound.getsockname()[1]}")
        with pytest.raises(ConnectionFailedError, match="GET /livez") as caught:
            client.livez()
        assert isinstance(caught.value.__cause__, httpx.ConnectError)


def test_waits_as_asked(connect: Connect) -> None:
    with scripted(problem(503, retry_after="1"), Reply()) as server:
        connect(server.address).livez()
        first, second = server.asked
        assert second.at - first.at >= 1


def test_waits_in_vain(connect: Connect) -> None:
    """A `Retry-After` beyond the timeout ends the call at once."""
    with scripted(problem(503, retry_after="60")) as server:
        with pytest.raises(UnavailableError) as caught:
            connect(server.address).livez()
        assert (caught.value.retry_after_seconds, len(server.asked)) == (60, 1)


def test_slow_answer(connect: Connect) -> None:
    """The timeout covers the whole call, also that of a copy of the client."""
    given_up = threading.Event()
    with scripted(Reply(waits_for=given_up)) as server:
        with pytest.raises(TimedOutError, match=r"within 0\.2 s"):
            connect(server.address).within(0.2).livez()
        given_up.set()
        assert len(server.asked) <= 1


def test_writes_may_take_longer(connect: Connect) -> None:
    go_on = threading.Event()
    with scripted(Reply(201, STORED.body, waits_for=go_on)) as server:
        client = connect(server.address, read_timeout_seconds=0.1)
        threading.Timer(0.3, go_on.set).start()
        assert client.rate("u", "i", 4).value == 4


def test_budget_is_kept(connect: Connect) -> None:
    """A failing service gets few calls more than it would without retries."""
    with scripted(problem(503)) as server:
        client = connect(server.address, retries=Retries(first_delay_seconds=0.001, burst=4, share=0.0))
        for _ in range(10):
            with pytest.raises(UnavailableError):
                client.livez()
        assert len(server.asked) == 14


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body="<html>", headers={"content-type": "text/html"}),
        Reply(body=""),
        Reply(body='{"status": '),
        Reply(body="[]"),
        Reply(body='{"state": "ok"}'),
        Reply(body='{"status": 5}'),
        Reply(302, headers={"location": "/elsewhere"}),
    ],
)
def test_not_our_service(connect: Connect, reply: Reply) -> None:
    with scripted(reply) as server:
        with pytest.raises(UnreadableAnswerError, match="GET /livez"):
            connect(server.address).livez()
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(507, "<html>full</html>", {"content-type": "text/html"}),
        Reply(507, "full", {"content-type": "application/problem+json"}),
        Reply(507, "[1]", {"content-type": "application/problem+json"}),
        Reply(507, '{"errors": 5}', {"content-type": "application/problem+json"}),
        Reply(507, "", {}),
    ],
)
def test_problem_of_a_proxy(connect: Connect, reply: Reply) -> None:
    with scripted(reply) as server:
        with pytest.raises(StorageFullError) as caught:
            connect(server.address).livez()
        assert (caught.value.type, caught.value.errors) == ("about:blank", ())
        assert caught.value.detail


def test_newer_service(connect: Connect) -> None:
    """What this client does not know is skipped, but a setting is kept: putting it back must not reset it."""
    placement = '{"name": "p", "settings": {"diversity": 0.3, "unheard_of": 0.7}, "extra": 1}'
    with scripted(Reply(body='{"status": "ok", "mood": "good"}'), Reply(body=placement)) as server:
        client = connect(server.address)
        assert client.livez().status == "ok"
        assert client.placement("p").settings == {"diversity": 0.3, "unheard_of": 0.7}


def test_older_service(connect: Connect) -> None:
    """A field that is not sent has its default, unless it is required."""
    page = (
        '{"recommendation_id": "r", "snapshot_version": 1, "strategy": "popular", "items": [%s], "next_cursor": null}'
    )
    with scripted(Reply(body=page % '{"item_id": "a"}'), Reply(body=page % '{"title": "A"}')) as server:
        (item,) = connect(server.address).recommendations("ann")
        assert (item.title, len(item.sources), math.isnan(item.score)) == (None, 0, True)
        with pytest.raises(UnreadableAnswerError, match="item_id"):
            connect(server.address).recommendations("ann")


def test_what_is_sent(connect: Connect) -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    with scripted(STORED, PAGE) as server:
        client = connect(f"{server.address}/reckon/", headers={"authorization": "Bearer x"})
        client.rate("Zoë", "a b", 4.5, moment)
        client.items(q="a&b=ü", limit=3)
        sent, asked = server.asked
        assert (sent.method, sent.path) == ("POST", "/reckon/ratings")
        body = {"user_id": "Zoë", "item_id": "a b", "value": 4.5, "rated_at": "2026-01-02T00:00:00+00:00"}
        assert json.loads(sent.body) == body
        assert (asked.method, asked.path) == ("GET", "/reckon/items?q=a%26b%3D%C3%BC&limit=3")
        headers = {name.lower(): text for name, text in asked.headers.items()}
        assert headers["authorization"] == "Bearer x"
        assert headers["user-agent"].startswith("reckon_client/")


def test_credentials(connect: Connect) -> None:
    with scripted(Reply()) as server:
        connect(server.address, api_key="rk_x ", user_token="ut_x").livez()  # noqa: S106  no secret
        headers = {name.lower(): text for name, text in server.asked[0].headers.items()}
        assert (headers["authorization"], headers["x-user-token"]) == ("Bearer rk_x", "ut_x")
        with pytest.raises(ValueError, match="empty"):
            connect(server.address, api_key=" ")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (problem(401), UnauthorizedError),
        (problem(403), ForbiddenError),
        (problem(429, retry_after="60"), RateLimitedError),
    ],
)
def test_refused(connect: Connect, reply: Reply, kind: type[ProblemError]) -> None:
    """Asked once: a limit that ends after the time for the call is not waited for."""
    with scripted(reply) as server:
        with pytest.raises(kind):
            connect(server.address).livez()
        assert len(server.asked) == 1


def test_options_are_written(connect: Connect) -> None:
    """Each kind of iterable once, and `explain=False` as its absence, so that one list has one address."""
    answer = (
        '{"recommendation_id": "r", "snapshot_version": null, "strategy": "popular", "items": [], "next_cursor": null}'
    )
    with scripted(problem(503), Reply(body=answer)) as server:
        client = connect(server.address)
        client.recommendations("ann", exclude=(each for each in "ab"), fields=["title"], explain=False, filter=None)
        client.recommendations("ann", explain=True, min_predicted_rating=3.5)
        client.recommendations_for(exclude={"c"}, explain=False)
        path = "/users/ann/recommendations"
        assert [asked.path for asked in server.asked[:2]] == [f"{path}?exclude=a&exclude=b&fields=title"] * 2
        assert server.asked[2].path == f"{path}?explain=true&min_predicted_rating=3.5"
        guest: dict[str, Any] = {"ratings": [], "events": [], "viewed_item_ids": []}
        assert json.loads(server.asked[3].body) == guest | {"exclude": ["c"]}


def test_asks_whether_it_holds(connect: Connect) -> None:
    tagged = {"content-type": "application/json", "etag": '"1"'}
    with scripted(Reply(200, PAGE.body, tagged), Reply(304, "", {"etag": '"1"'}), PAGE) as server:
        client = connect(server.address, remembered_answers=1)
        first = client.items()
        assert client.items() is first
        assert [asked.headers.get("if-none-match") for asked in server.asked] == [None, '"1"']
        client.items(q="other")
        client.items()
        assert [asked.headers.get("if-none-match") for asked in server.asked[2:]] == [None, '"1"']


def test_nothing_is_remembered_unasked(connect: Connect) -> None:
    with scripted(Reply(200, PAGE.body, {"content-type": "application/json", "etag": '"1"'})) as server:
        client = connect(server.address)
        client.items()
        client.items()
        assert all("if-none-match" not in asked.headers for asked in server.asked)


def test_batches_fit_into_a_body(connect: Connect) -> None:
    """The service refuses bodies of more than 1 MiB, which 1,000 rows with long ids exceed."""
    outcome = {"stored": 0, "replaced": 0, "unchanged": 0, "rejected": 0, "results": []}
    with scripted(Reply(body=json.dumps(outcome))) as server:
        connect(server.address).rate_many(Rating(f"{n:0>128}", "ü" * 128, 4) for n in range(2_000))
        rows = [len(json.loads(asked.body)["ratings"]) for asked in server.asked]
        assert sum(rows) == 2_000
        assert max(rows) <= 1_000
        assert max(len(asked.body) for asked in server.asked) <= 1 << 20


def test_broken_off(connect: Connect) -> None:
    """The error of one batch says how many rows were sent before."""
    outcome = {"stored": 1_000, "replaced": 0, "unchanged": 0, "rejected": 0, "results": []}
    with scripted(Reply(body=json.dumps(outcome)), problem(507)) as server:
        with pytest.raises(StorageFullError) as caught:
            connect(server.address).rate_many(Rating("u", f"i{n}", 4) for n in range(5_000))
        assert caught.value.__notes__ == ["the rows before index 1000 were sent and answered"]
        assert len(server.asked) == 2


def test_iteration_is_lazy() -> None:
    page = Reply(
        body='{"ratings": [{"user_id": "u", "item_id": "i", "value": 4, "rated_at": null}], "next_cursor": "c"}'
    )
    with scripted(page) as server, Reckon(server.address) as reckon:
        ratings = reckon.iter_ratings("u")
        assert server.asked == []
        for _ in range(3):
            next(ratings)
        assert [asked.path.partition("cursor=")[2] for asked in server.asked] == ["", "c", "c"]


def test_shared_by_threads() -> None:
    with scripted(Reply()) as server, Reckon(server.address) as reckon, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: reckon.livez().status, range(100)))
        assert answers == ["ok"] * 100


def test_many_at_once() -> None:
    async def ask(address: str) -> list[str]:
        async with AsyncReckon(address, max_connections=8) as reckon:
            answers = await asyncio.gather(*(reckon.livez() for _ in range(100)))
        return [answer.status for answer in answers]

    with scripted(Reply()) as server:
        assert asyncio.run(ask(server.address)) == ["ok"] * 100


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "ftp://x", ""])
def test_bad_address(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Reckon(address)


@pytest.mark.parametrize(
    ("text", "seconds"), [("5", 5), ("0", 0), (" 7 ", 7), ("", None), ("soon", None), ("-3", None), ("1e3", None)]
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after_seconds(httpx.Response(503, headers={"retry-after": text})) == seconds


def test_retry_after_date() -> None:
    moment = datetime.now(UTC) + timedelta(seconds=30)
    seconds = retry_after_seconds(httpx.Response(503, headers={"retry-after": format_datetime(moment)}))
    assert seconds is not None
    assert 25 < seconds <= 30
    past = format_datetime(moment - timedelta(days=1))
    assert retry_after_seconds(httpx.Response(503, headers={"retry-after": past})) == 0


def test_too_long_for_an_address() -> None:
    with pytest.raises(InvalidInputError), Reckon() as reckon:
        reckon.recommendations("ann", exclude=[f"{n:0>128}" for n in range(1_000)])
