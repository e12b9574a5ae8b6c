"""Requests for every operation of the OpenAPI document, and senders that each come from an address of their own.

The service counts the failed attempts of each address, so thousands of them from one address would all be refused.
"""

import asyncio
import http.client
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx
from starlette.types import ASGIApp


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request for one operation, filled in with its examples. `users`: whom it names."""

    method: str
    template: str
    path: str
    body: Any
    users: frozenset[str]
    operation: Mapping[str, Any]

    @property
    def scopes(self) -> list[str]:
        return [scope for each in self.operation["security"] for scope in each["key"]]


Send = Callable[[Prepared, Mapping[str, str]], Answer]


def prepared(document: Mapping[str, Any]) -> Iterator[Prepared]:
    """A request for each operation."""
    for template, operations in document["paths"].items():
        for method, operation in operations.items():
            values = [(each["in"], each["name"], each.get("example")) for each in operation.get("parameters", ())]
            path = template.format_map(
                {name: quote(str(value), safe="") for place, name, value in values if place == "path"}
            )
            bodies = [each["example"] for each in operation.get("requestBody", {}).get("content", {}).values()]
            body = bodies[0] if bodies else None
            users = {str(value) for place, name, value in values if place == "path" and name == "user_id"}
            yield Prepared(method.upper(), template, path, body, frozenset(users | set(users_in(body))), operation)


def users_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from [inner] if name == "user_id" else users_in(inner)
    elif isinstance(value, list):
        for each in value:
            yield from users_in(each)


@contextmanager
def in_process(app: ASGIApp) -> Iterator[Send]:
    """Sends to the application, each request from another address."""
    numbers = itertools.count(1)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    client = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    async def send(request: Prepared, headers: Mapping[str, str]) -> Answer:
        transport.client = (address(next(numbers)), 1)
        sent = headers_of(request, headers)
        answer = await client.request(request.method, request.path, content=content_of(request), headers=sent)
        return Answer(answer.status_code, dict(answer.headers), answer.content)

    with asyncio.Runner() as runner:
        yield lambda request, headers: runner.run(send(request, headers))


def over_sockets(base: str) -> Send:
    """Sends to the service, each request from another address of this machine: all of 127.0.0.0/8 are its own."""
    numbers = itertools.count(1)
    host, port = urlsplit(base).hostname, urlsplit(base).port

    def send(request: Prepared, headers: Mapping[str, str]) -> Answer:
        connection = http.client.HTTPConnection(str(host), port, timeout=30, source_address=(address(next(numbers)), 0))
        try:
            connection.request(request.method, request.path, content_of(request), headers_of(request, headers))
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    return send


def address(number: int) -> str:
    return f"127.{1 + number // 62_500 % 250}.{1 + number // 250 % 250}.{1 + number % 250}"


def content_of(request: Prepared) -> bytes:
    return b"" if request.body is None else json.dumps(request.body).encode()


def headers_of(request: Prepared, headers: Mapping[str, str]) -> dict[str, str]:
    kinds = request.operation.get("requestBody", {}).get("content", {})
    return dict(headers) | ({"content-type": next(iter(kinds))} if kinds else {})


def get(path: str, **query: str) -> Prepared:
    """A request without a body."""
    return Prepared("GET", path, f"{path}?{urlencode(query)}" if query else path, None, frozenset(), {"security": []})
