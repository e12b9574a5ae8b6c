"""JSON to frozen dataclasses and back, by their type hints.

Not Pydantic: the client would tie its caller to one version of it. What a newer service adds is skipped, and what an
older one does not send yet gets the default of its field.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from numbers import Integral, Real
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Reader = Callable[[Any], Any]
T = TypeVar("T")


def read(kind: type[T], document: Any) -> T:
    """`document` as a `kind`; raises what `reader_of` says."""
    reader: Callable[[Any], T] = reader_of(kind)  # type: ignore[arg-type]  # a type is hashable
    return reader(document)


@cache
def reader_of(kind: Any) -> Reader:
    """What makes a `kind` of JSON: a dataclass, `tuple[X, ...]`, `Mapping[str, X]`, unions, plain values.

    Raises `KeyError`, `TypeError`, `ValueError` or `AttributeError` for JSON of another shape.
    """
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _object_reader(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        each = reader_of(arguments[0])
        return tuple if each is _as_it_is else lambda values: tuple([each(value) for value in values])
    if origin in {types.UnionType, Union}:
        return _union_reader(arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        each = reader_of(arguments[1])
        return lambda values: {name: each(value) for name, value in values.items()}
    if kind is datetime:
        return datetime.fromisoformat
    return float if kind is float else _as_it_is


def _object_reader(kind: type) -> Reader:
    hints = get_type_hints(kind)
    readers = {field.name: reader_of(hints[field.name]) for field in dataclasses.fields(kind)}
    converted = [(name, each) for name, each in readers.items() if each is not _as_it_is]

    def read(document: Any) -> Any:
        values = {name: document[name] for name in document if name in readers}
        for name, each in converted:
            if name in values:
                values[name] = each(values[name])
        return kind(**values)  # TypeError where a required one is missing

    return read


def _union_reader(kinds: Sequence[Any]) -> Reader:
    """Of `X | None`, and of dataclasses: the first whose required fields are all there."""
    readers = [reader_of(kind) for kind in kinds if kind is not type(None)]

    def read(value: Any) -> Any:
        if value is None and type(None) in kinds:
            return None
        for each in readers[:-1]:
            with suppress(TypeError):
                return each(value)
        return readers[-1](value)

    return read


def _as_it_is(value: Any) -> Any:
    return value


def plain(value: Any) -> Any:
    """`value` as `json` can write it: dataclasses without the fields that are None, times in ISO 8601."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return without_none({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Integral):  # numpy's numbers, of callers that keep their ratings in arrays
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"{type(value).__name__} is not sent as JSON")


def as_json(value: Any) -> Any:
    """`value` as JSON with every field, those that are None too: an answer."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [as_json(each) for each in value]
    if isinstance(value, Mapping):
        return {name: as_json(each) for name, each in value.items()}
    return value.isoformat() if isinstance(value, datetime) else value


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
