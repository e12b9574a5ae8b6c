"""What both clients do alike, without I/O: how a call is written, how often it is tried, what an answer means."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar
from urllib.parse import quote

import httpx

from .call import Call
from .errors import (
    ConnectionFailedError,
    TimedOutError,
    UnreadableAnswerError,
    invalid,
    problem_of,
    retry_after_seconds,
)
from .reading import plain, read, without_none
from .remembered import Memory
from .retries import Retries, RetryBudget
from .version import VERSION

T = TypeVar("T")

Outcome = httpx.Response | httpx.RequestError

WORTH_REPEATING = frozenset({429, 502, 503, 504})
NO_CONTENT = 204
NOT_MODIFIED = 304

HEADERS = {"user-agent": f"reckon_client/{VERSION}", "accept": "application/json"}

KEEPALIVE_SECONDS = 4.0
"""Shorter than the service keeps an idle connection (5 s): else one would be used just as it is being closed."""


MAX_ADDRESS = 60_000
"""Characters; httpx takes 65,536 with the name of the host."""


def limits(max_connections: int) -> httpx.Limits:
    return httpx.Limits(
        max_connections=max_connections,
        max_keepalive_connections=max_connections,
        keepalive_expiry=KEEPALIVE_SECONDS,
    )


def checked_address(address: str) -> str:
    if httpx.URL(address).scheme not in {"http", "https"} or not httpx.URL(address).host:
        raise ValueError(f"{address!r} is not an address of the service: http://HOST[:PORT][/PREFIX]")
    return address


@dataclass(frozen=True, slots=True)
class Exchange:
    """What all calls of a client share."""

    read_timeout_seconds: float
    write_timeout_seconds: float
    retries: Retries
    budget: RetryBudget
    memory: Memory

    @classmethod
    def of(
        cls, read_timeout_seconds: float, write_timeout_seconds: float, retries: Retries, remembered_answers: int
    ) -> Self:
        return cls(
            read_timeout_seconds, write_timeout_seconds, retries, RetryBudget(retries), Memory(remembered_answers)
        )

    def within(self, seconds: float) -> Self:
        return replace(self, read_timeout_seconds=seconds, write_timeout_seconds=seconds)


class Attempts(Generic[T]):
    """One call and its tries.

    The timeout is that of the whole call: who allows three seconds is not kept for nine.
    """

    def __init__(self, call: Call[T], exchange: Exchange, http: httpx.Client | httpx.AsyncClient) -> None:
        self._call = call
        self._exchange = exchange
        self._http = http
        self._made = 0
        self._seconds = exchange.write_timeout_seconds if call.route.changes else exchange.read_timeout_seconds
        self._deadline = time.monotonic() + self._seconds
        self._address = _address(call)
        self._content = None if call.request.body is None else _content(call.request.body)
        remembers = call.route.method == "GET"
        self._remembered = exchange.memory.get(self._address) if remembers else None
        exchange.budget.earn()

    def next_request(self) -> httpx.Request:
        self._made += 1
        headers = {} if self._content is None else {"content-type": "application/json"}
        if self._remembered is not None:
            headers["if-none-match"] = self._remembered.entity_tag
        return self._http.build_request(
            self._call.route.method,
            self._address,
            content=self._content,
            headers=headers,
            timeout=max(0.001, self._deadline - time.monotonic()),
        )

    def delay_seconds(self, outcome: Outcome) -> float | None:
        """How long to wait before the next try; None where this one was the last."""
        if self._made >= self._exchange.retries.attempts or not self._is_worth_repeating(outcome):
            return None
        asked = retry_after_seconds(outcome) if isinstance(outcome, httpx.Response) else None
        delay = self._exchange.retries.delay_seconds(self._made, asked)
        if time.monotonic() + delay >= self._deadline or not self._exchange.budget.spend():
            return None
        return delay

    def _is_worth_repeating(self, outcome: Outcome) -> bool:
        if isinstance(outcome, httpx.Response):
            return self._call.route.is_repeatable and outcome.status_code in WORTH_REPEATING
        never_sent = isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        return never_sent or (self._call.route.is_repeatable and isinstance(outcome, httpx.TransportError))

    def conclude(self, outcome: Outcome) -> T:
        """The answer, or the error that the last outcome is."""
        route = self._call.route
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
            raise self._unreadable(outcome, "a redirection: is the address right?")
        answer = self._read(outcome)
        self._exchange.memory.put(self._address, outcome.headers.get("etag"), answer)
        return answer

    def _read(self, response: httpx.Response) -> T:
        if response.status_code == NO_CONTENT:
            return None  # type: ignore[return-value]  # T is None where an operation answers 204
        try:
            return read(self._call.request.answer, response.json())
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._unreadable(response, f"not the answer expected: {error!r}") from error

    def _unreadable(self, response: httpx.Response, why: str) -> UnreadableAnswerError:
        route = self._call.route
        return UnreadableAnswerError(f"{route.method} {route.path}: {response.status_code}, {why}")


def _address(call: Call[Any]) -> str:
    path = call.route.path
    for name, identifier in call.request.path.items():
        if identifier in {"", ".", ".."} or "/" in identifier:  # in a path these would name something else
            raise invalid(f"path.{name}", f"{identifier!r} is not an id: those are not empty, '.' or '..', without '/'")
        path = path.replace(f"{{{name}}}", _quoted(identifier, f"path.{name}"))
    query = "&".join(
        f"{name}={_quoted(_text(value), f'query.{name}')}"
        for name, given in without_none(call.request.query).items()
        for value in (given if isinstance(given, list | tuple) else (given,))
    )
    address = f"{path}?{query}" if query else path
    if len(address) > MAX_ADDRESS:
        raise invalid("query", f"{len(address)} characters are more than an address holds: {MAX_ADDRESS}")
    return address


def _quoted(text: str, field: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise invalid(field, "text holds no surrogates") from None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _content(body: Mapping[str, Any]) -> bytes:
    """ASCII, so that any text can be written; NaN is left to the service, which says in which field it stands."""
    return json.dumps(without_none(body), default=plain, separators=(",", ":")).encode()
