"""Query strings, read once: the same few are asked again and again.

A handler calls `parameters` instead of declaring a class as its parameter: the framework would spend 70 us on one each
time, a third of what a whole answer costs. `described` tells the OpenAPI document, and `StrictRoute`, of them.
"""

from functools import lru_cache
from typing import Any, TypeVar, get_origin
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

MAX_BYTES = 60_000
"""The server reads no longer lines."""

KEPT_BYTES = 1_000
"""Longer ones are not asked twice."""

Parameters = TypeVar("Parameters", bound=BaseModel)


def parameters(request: Request, kind: type[Parameters]) -> Parameters:
    """What the address asks for. Raises `RequestValidationError`."""
    query_string = request.scope["query_string"]
    read = _kept if len(query_string) <= KEPT_BYTES else _read
    found: Parameters = read(kind, query_string)
    return found


def names(query_string: bytes) -> frozenset[str]:
    """Of the parameters that it gives."""
    return _kept_names(query_string) if len(query_string) <= KEPT_BYTES else _names(query_string)


def described(kind: type[BaseModel]) -> dict[str, Any]:
    """The fields of `kind` as OpenAPI has query parameters: the `openapi_extra` of an operation."""
    fields = kind.model_json_schema()["properties"].items()
    return {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": schema.pop("description", ""),
                "schema": schema,
            }
            for name, schema in fields
        ]
    }


def _read(kind: type[BaseModel], query_string: bytes) -> Any:
    if len(query_string) > MAX_BYTES:
        raise RequestValidationError([{"loc": ("query",), "msg": f"at most {MAX_BYTES} bytes; POST has room"}])
    given: dict[str, Any] = {}
    repeated = {name for name, field in kind.model_fields.items() if get_origin(field.annotation) is list}
    for name, value in _pairs(query_string):
        if name in repeated:
            given.setdefault(name, []).append(value)
        else:
            given[name] = value
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError([fault | {"loc": ("query", *fault["loc"])} for fault in faults]) from None


def _names(query_string: bytes) -> frozenset[str]:
    return frozenset(name for name, _ in _pairs(query_string))


def _pairs(query_string: bytes) -> list[tuple[str, str]]:
    return parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)


_kept = lru_cache(maxsize=1_000)(_read)
_kept_names = lru_cache(maxsize=1_000)(_names)
