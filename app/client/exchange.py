"""The parts that both clients share, without I/O: repeating a request, concluding a call, keeping answers."""

import threading
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

import httpx

from .call import Call
from .errors import (
    ConnectionFailedError,
    TimedOutError,
    UnreadableAnswerError,
    problem_of,
    retry_after_seconds,
)
from .retries import Retries, RetryBudget
from .wire import address_of, decode, encode

VERSION = "0.1.0"
"""The version of this client; its wheel carries the same."""

T = TypeVar("T")

Outcome = httpx.Response | httpx.RequestError

WORTH_REPEATING = frozenset({429, 502, 503, 504})
NO_CONTENT = 204
NOT_MODIFIED = 304

HEADERS = {"user-agent": f"reckon_client/{VERSION}", "accept": "application/json"}

KEEPALIVE_SECONDS = 4.0
"""Shorter than the service keeps an idle connection (5 s). Otherwise the client could use a connection that the
service is about to close.
"""


def limits(max_connections: int) -> httpx.Limits:
    return httpx.Limits(
        max_connections=max_connections,
        max_keepalive_connections=max_connections,
        keepalive_expiry=KEEPALIVE_SECONDS,
    )


def credentials(api_key: str | None, user_token: str | None) -> dict[str, str]:
    """The headers of an API key and of a user token. Raises `ValueError` for an empty key, which would be no key."""
    if api_key is not None and not api_key.strip():
        raise ValueError("the API key is empty")
    headers = {} if api_key is None else {"authorization": f"Bearer {api_key.strip()}"}
    return headers if user_token is None else headers | {"x-user-token": user_token}


def checked_address(address: str) -> str:
    """`address`; raises `ValueError` where it is not an HTTP address with a host."""
    if httpx.URL(address).scheme not in {"http", "https"} or not httpx.URL(address).host:
        raise ValueError(f"{address!r} is not an address of the service: http://HOST[:PORT][/PREFIX]")
    return address


@dataclass(frozen=True, slots=True)
class TaggedAnswer:
    """An answer with its entity tag."""

    entity_tag: str
    answer: Any


class RememberedAnswers:
    """The `size` answers used last, by address.

    A kept answer is never returned without a request. The request has its tag, and the service replies 304 if the
    answer is still valid.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # Ordered by the last use, the oldest first. Threads share a client, so a lock guards the order.
        self._answers: OrderedDict[str, TaggedAnswer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, address: str) -> TaggedAnswer | None:
        if not self._size:
            return None
        with self._lock:
            if address in self._answers:
                self._answers.move_to_end(address)
            return self._answers.get(address)

    def put(self, address: str, entity_tag: str | None, answer: Any) -> None:
        if not self._size or entity_tag is None:
            return
        with self._lock:
            self._answers[address] = TaggedAnswer(entity_tag, answer)
            self._answers.move_to_end(address)
            if len(self._answers) > self._size:
                self._answers.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What all calls of a client share."""

    read_timeout_seconds: float
    write_timeout_seconds: float
    retries: Retries
    budget: RetryBudget
    remembered: RememberedAnswers

    @classmethod
    def from_options(
        cls, read_timeout_seconds: float, write_timeout_seconds: float, retries: Retries, remembered_answers: int
    ) -> Self:
        budget, remembered = RetryBudget(retries), RememberedAnswers(remembered_answers)
        return cls(read_timeout_seconds, write_timeout_seconds, retries, budget, remembered)

    def within(self, seconds: float) -> Self:
        return replace(self, read_timeout_seconds=seconds, write_timeout_seconds=seconds)


class Attempts(Generic[T]):
    """One call and its attempts.

    The timeout covers all of them: a caller who allows three seconds never waits nine.
    """

    def __init__(self, call: Call[T], exchange: Exchange, http: httpx.Client | httpx.AsyncClient) -> None:
        self._call = call
        self._exchange = exchange
        self._http = http
        self._made = 0
        self._seconds = exchange.write_timeout_seconds if call.route.changes else exchange.read_timeout_seconds
        self._deadline = time.monotonic() + self._seconds
        self._address = address_of(call)
        self._content = None if call.request.body is None else encode(call.request)
        # The same for all attempts, so that the service carries out one of them, whichever answers are lost.
        self._headers = dict(call.request.headers)
        if call.route.is_keyed:
            self._headers["idempotency-key"] = str(uuid.uuid4())
        # The address alone identifies a GET; two POSTs to one address may differ in their bodies.
        is_kept = call.route.method == "GET"
        self._remembered = exchange.remembered.get(self._address) if is_kept else None
        exchange.budget.earn()

    def next_request(self) -> httpx.Request:
        self._made += 1
        headers = dict(self._headers)
        if self._call.route.method != "GET":
            # Also without a body: the service refuses changes that a web page could request without asking first.
            headers["content-type"] = "application/json"
        if self._remembered is not None:
            headers["if-none-match"] = self._remembered.entity_tag
        return self._http.build_request(
            self._call.route.method,
            self._address,
            content=self._content,
            headers=headers,
            # The deadline may just have passed, and a timeout is positive.
            timeout=max(0.001, self._deadline - time.monotonic()),
        )

    def delay_seconds(self, outcome: Outcome) -> float | None:
        """How long to wait before the next attempt; None where this one was the last."""
        if self._made >= self._exchange.retries.attempts or not self._is_worth_repeating(outcome):
            return None
        retry_after = retry_after_seconds(outcome) if isinstance(outcome, httpx.Response) else None
        delay = self._exchange.retries.delay_seconds(self._made, retry_after)
        # The budget is spent last, so that an attempt which would come too late does not use it up.
        if time.monotonic() + delay >= self._deadline or not self._exchange.budget.spend():
            return None
        return delay

    def _is_worth_repeating(self, outcome: Outcome) -> bool:
        if isinstance(outcome, httpx.Response):
            return self._call.route.is_repeatable and outcome.status_code in WORTH_REPEATING
        # A request that never left this process may be sent again even where two of them would do harm.
        never_sent = isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        return never_sent or (self._call.route.is_repeatable and isinstance(outcome, httpx.TransportError))

    def conclude(self, outcome: Outcome) -> T:
        """Return the answer of the last outcome. Raises the `ReckonError` of a failure."""
        route = self._call.route
        # A timeout is a `RequestError` too, so it is looked at first.
        if isinstance(outcome, httpx.TimeoutException):
            text = f"{route.method} {route.path}: no answer within {self._seconds:g} s"
            raise TimedOutError(text) from outcome
        if isinstance(outcome, httpx.RequestError):
            text = f"{route.method} {route.path}: {outcome or type(outcome).__name__}"
            raise ConnectionFailedError(text) from outcome
        if outcome.status_code == NOT_MODIFIED and self._remembered is not None:
            return self._remembered.answer  # type: ignore[no-any-return]  # kept for the same call
        if outcome.is_error:
            raise problem_of(outcome)
        if not outcome.is_success:
            raise self._unreadable(outcome, "a redirect: the address may be wrong")
        answer = self._read(outcome)
        self._exchange.remembered.put(self._address, outcome.headers.get("etag"), answer)
        return answer

    def _read(self, response: httpx.Response) -> T:
        request = self._call.request
        if response.status_code == NO_CONTENT:
            return None  # type: ignore[return-value]  # T is None where an operation answers 204
        try:
            return decode(request.answer, response.content) if request.read is None else request.read(response.content)
        except ValueError as error:
            raise self._unreadable(response, f"not the answer expected: {error}") from error

    def _unreadable(self, response: httpx.Response, why: str) -> UnreadableAnswerError:
        route = self._call.route
        return UnreadableAnswerError(f"{route.method} {route.path}: {response.status_code}, {why}")
