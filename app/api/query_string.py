"""Parses and validates query strings, and caches the results, because clients repeat the same few query strings.

A handler calls `parameters` instead of declaring a Pydantic class as its parameter: FastAPI would spend 70 us on that
for every request, a third of the time of a list. `described` adds the parameters to the OpenAPI document.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

KEPT_BYTES = 1_000
"""Longer query strings hold filters and lists of ids. They are rarely repeated, so they are not cached."""

MAX_PARAMETERS = 2_000
"""Of a query string; a list takes 1,000 items to exclude. More would hold up all requests while they are read."""

MAX_NAMED = 20
"""Unknown or repeated parameters that an error names."""

Parameters = TypeVar("Parameters", bound=BaseModel)


def parameters(request: Request, kind: type[Parameters]) -> Parameters:
    """Return the query string of `request` as `kind`.

    Raises `RequestValidationError` for a value that is not valid and for a parameter that `kind` does not have.
    """
    query_string = request.scope["query_string"]
    read = _kept if len(query_string) <= KEPT_BYTES else _read
    values: Parameters = read(kind, query_string)
    return values


def names(query_string: bytes) -> tuple[str, ...]:
    """Return the names of the parameters in a query string, one as often as it comes."""
    return _kept_names(query_string) if len(query_string) <= KEPT_BYTES else _names(query_string)


def refuse_unknown(given: Collection[str], known: Collection[str]) -> None:
    """Raise `RequestValidationError` if a given parameter is not known."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        takes = f"this path takes {', '.join(sorted(known))}" if known else "this path takes none"
        raise RequestValidationError(
            [{"loc": ("query", name), "msg": f"unknown parameter; {takes}"} for name in unknown[:MAX_NAMED]]
        )


def refuse_repeated(given: Sequence[str], repeatable: Collection[str]) -> None:
    """Raise `RequestValidationError` if a parameter is given twice that can be given once."""
    repeated = sorted({name for name, count in Counter(given).items() if count > 1} - set(repeatable))
    if repeated:
        raise RequestValidationError(
            [{"loc": ("query", name), "msg": "this parameter is given more than once"} for name in repeated[:MAX_NAMED]]
        )


def takes_several(annotation: object) -> bool:
    """Whether a parameter of this type may be repeated: it is a list, or a value or a list."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in {Union, UnionType}:
        return any(map(takes_several, get_args(annotation)))
    return get_origin(annotation) is list


def described(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the fields of `kind` as query parameters, for the `openapi_extra` of an operation."""
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
    given: dict[str, Any] = {}
    pairs = _pairs(query_string)
    repeatable = {name for name, field in kind.model_fields.items() if takes_several(field.annotation)}
    for name, value in pairs:
        if name in repeatable:
            given.setdefault(name, []).append(value)
        else:
            given[name] = value
    # Checked before the values, so that a misspelt name is the only error that is reported.
    refuse_unknown(given, kind.model_fields)
    refuse_repeated([name for name, _ in pairs], repeatable)
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError([fault | {"loc": ("query", *fault["loc"])} for fault in faults]) from None


def _names(query_string: bytes) -> tuple[str, ...]:
    return tuple(name for name, _ in _pairs(query_string))


def _pairs(query_string: bytes) -> list[tuple[str, str]]:
    if query_string.count(b"&") >= MAX_PARAMETERS:
        message = f"a query string has at most {MAX_PARAMETERS:,} parameters"
        raise RequestValidationError([{"loc": ("query",), "msg": message}])
    # A server passes the raw bytes. `parse_qsl` decodes the percent escapes, which hold all that is not ASCII.
    return parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)


_kept = lru_cache(maxsize=1_000)(_read)
_kept_names = lru_cache(maxsize=1_000)(_names)
