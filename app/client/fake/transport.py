"""From a request to the method of the fake that answers it, and back."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints
from urllib.parse import parse_qs, unquote

import httpx

from ..call import Operation, Route
from ..errors import PROBLEM, ProblemError
from ..operations import Operations
from ..reading import as_json
from .answers import Answers
from .memory import Memory


class FakeTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers from `memory`, by the method of `Answers` that has the operation's name."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._answers = Answers(memory)
        self._operations = {
            name: each for name in dir(Operations) if isinstance(each := getattr(Operations, name), Operation)
        }

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._respond(request, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._respond(request, await request.aread())

    def _respond(self, request: httpx.Request, content: bytes) -> httpx.Response:
        try:
            self._memory.fail_if_told(request)
            answer = self._answer(request, content)
        except ProblemError as error:
            document = {**as_json(error.problem), "request_id": "fake"}
            headers = {"content-type": PROBLEM}
            return httpx.Response(error.status, headers=headers, content=json.dumps(document), request=request)
        if answer is None:
            return httpx.Response(204, request=request)
        return httpx.Response(200, json=as_json(answer), request=request)

    def _answer(self, request: httpx.Request, content: bytes) -> Any:
        path, _, query = request.url.raw_path.decode().partition("?")
        for name, operation in self._operations.items():
            found = _pattern(operation.route).fullmatch(path)
            if found and operation.route.method == request.method:
                respond = getattr(self._answers, name)
                given = {name: unquote(text) for name, text in found.groupdict().items()}
                asked = parse_qs(query, keep_blank_values=True)
                return respond(**_read_texts(respond, given, asked), **(json.loads(content) if content else {}))
        raise LookupError(f"no operation answers {request.method} {path}")


def _pattern(route: Route) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path))


def _read_texts(
    respond: Callable[..., Any], given: Mapping[str, str], asked: Mapping[str, list[str]]
) -> dict[str, Any]:
    """What stands in an address is text; the method's type hints say what it is meant to be."""
    hints = get_type_hints(respond)
    kinds = {name: {hint, *get_args(hint)} for name, hint in hints.items()}
    values: dict[str, Any] = dict(given)
    for name, texts in asked.items():
        if str(hints[name]).startswith(("list", "tuple")):
            values[name] = texts
        elif bool in kinds[name]:
            values[name] = texts[0] == "true"
        else:
            number = next((kind for kind in (int, float) if kind in kinds[name]), str)
            values[name] = number(texts[0])
    return values
