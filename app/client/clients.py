"""The blocking and the asyncio client. They differ in how they send and wait; `exchange.py` holds what they share."""

import asyncio
import copy
import time
from collections.abc import Mapping
from typing import Self, TypeVar

import httpx

from .call import Awaiting, Blocking, Call
from .exchange import HEADERS, Attempts, Exchange, Outcome, checked_address, credentials, limits
from .operations import Operations
from .retries import Retries

T = TypeVar("T")

DEFAULT_ADDRESS = "http://127.0.0.1:8000"
DEFAULT_RETRIES = Retries()


class Reckon(Operations, Blocking):
    """A client of the service at `address`. It keeps its connections open and may be shared by threads.

    `read_timeout_seconds`, `write_timeout_seconds`: the time allowed for a whole call with its retries, for operations
    that only read and for those that write.
    `retries`: when a failed attempt is repeated.
    `remembered_answers`: number of answers to keep with their entity tags. A request for one of them sends the tag, and
    the service sends a new answer only if it has changed.
    `api_key`: sent with every request. `user_token`: sent beside a browser key.
    `headers`: sent with every request as well.
    `transport`: replaces the network, as in tests.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        read_timeout_seconds: float = 3.0,
        write_timeout_seconds: float = 10.0,
        retries: Retries = DEFAULT_RETRIES,
        max_connections: int = 100,
        remembered_answers: int = 0,
        api_key: str | None = None,
        user_token: str | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._exchange = Exchange.from_options(read_timeout_seconds, write_timeout_seconds, retries, remembered_answers)
        self._http = httpx.Client(
            base_url=checked_address(address),
            headers=HEADERS | credentials(api_key, user_token) | dict(headers or {}),
            limits=limits(max_connections),
            transport=transport,
        )

    def within(self, seconds: float) -> Self:
        """The same client with other timeouts, on the same connections: `reckon.within(0.2).recommendations("ann")`."""
        # A shallow copy has the same httpx client, and with it the same pool of connections.
        other = copy.copy(self)
        other._exchange = self._exchange.within(seconds)  # noqa: SLF001  an object of this class
        return other

    def send(self, call: Call[T]) -> T:
        attempts = Attempts(call, self._exchange, self._http)
        while True:
            # A failure is an outcome like a response: `attempts` decides whether either is final.
            outcome: Outcome
            try:
                outcome = self._http.send(attempts.next_request())
            except httpx.RequestError as error:
                outcome = error
            delay_seconds = attempts.delay_seconds(outcome)
            if delay_seconds is None:
                return attempts.conclude(outcome)
            # Attempts that are over hold no connection while they wait: httpx has read the whole response.
            time.sleep(delay_seconds)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncReckon(Operations, Awaiting):
    """As `Reckon`, for asyncio: the same methods, each awaited; `iter_...` methods are for `async for`."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        read_timeout_seconds: float = 3.0,
        write_timeout_seconds: float = 10.0,
        retries: Retries = DEFAULT_RETRIES,
        max_connections: int = 100,
        remembered_answers: int = 0,
        api_key: str | None = None,
        user_token: str | None = None,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._exchange = Exchange.from_options(read_timeout_seconds, write_timeout_seconds, retries, remembered_answers)
        self._http = httpx.AsyncClient(
            base_url=checked_address(address),
            headers=HEADERS | credentials(api_key, user_token) | dict(headers or {}),
            limits=limits(max_connections),
            transport=transport,
        )

    def within(self, seconds: float) -> Self:
        """As `Reckon.within`."""
        other = copy.copy(self)
        other._exchange = self._exchange.within(seconds)  # noqa: SLF001  an object of this class
        return other

    async def send(self, call: Call[T]) -> T:
        attempts = Attempts(call, self._exchange, self._http)
        while True:
            outcome: Outcome
            try:
                outcome = await self._http.send(attempts.next_request())
            except httpx.RequestError as error:
                outcome = error
            delay_seconds = attempts.delay_seconds(outcome)
            if delay_seconds is None:
                return attempts.conclude(outcome)
            await asyncio.sleep(delay_seconds)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
