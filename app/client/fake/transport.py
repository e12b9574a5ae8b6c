"""From a request to the method of the fake that answers it, and back."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qs, unquote

import httpx

from ..call import Operation, Route
from ..errors import PROBLEM, ProblemError
from ..operations import Operations
from ..reading import as_json
from .answers import answers_from
from .memory import Memory


class FakeTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers from `memory`, by the method that has the operation's name."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._answers = answers_from(memory)
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
                given = {name: unquote(text) for name, text in found.groupdict().items()}
                asked = _read_texts(operation, parse_qs(query, keep_blank_values=True))
                return self._answers[name](**given, **asked, **(json.loads(content) if content else {}))
        raise LookupError(f"no operation answers {request.method} {path}")


def _pattern(route: Route) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path))


def _read_texts(operation: Operation[..., Any], asked: Mapping[str, list[str]]) -> dict[str, Any]:
    """What stands in an address is text; the type hints of the operation say what it was."""
    hints = get_type_hints(operation.build)
    values: dict[str, Any] = {}
    for name, texts in asked.items():
        kinds = {hints[name], *get_args(hints[name])}
        if get_origin(hints[name]) in {Iterable, Sequence}:
            values[name] = texts
        elif bool in kinds:
            values[name] = texts[0] == "true"
        else:
            values[name] = next((kind for kind in (int, float) if kind in kinds), str)(texts[0])
    return values
