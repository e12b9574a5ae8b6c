"""JSON to frozen dataclasses and back, by their type hints.

Not Pydantic: the client would tie its caller to one version of it. What a newer service adds is skipped, and what an
older one does not send yet gets the default of its field.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
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
    """What makes a `kind` of JSON: a dataclass, `tuple[X, ...]`, `Mapping[str, X]`, `X | None`, or a plain value.

    Raises `KeyError`, `TypeError`, `ValueError` or `AttributeError` for JSON of another shape.
    """
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _object_reader(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        each = reader_of(arguments[0])
        return lambda values: tuple([each(value) for value in values])
    if origin in {types.UnionType, Union} and type(None) in arguments:
        (present,) = (argument for argument in arguments if argument is not type(None))
        read = reader_of(present)
        return lambda value: None if value is None else read(value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        each = reader_of(arguments[1])
        return lambda values: {name: each(value) for name, value in values.items()}
    if kind is datetime:
        return datetime.fromisoformat
    return float if kind is float else _as_it_is


def _object_reader(kind: type) -> Reader:
    hints = get_type_hints(kind)
    required: list[tuple[str, Reader]] = []
    optional: list[tuple[str, Reader]] = []
    for field in dataclasses.fields(kind):
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        (optional if has_default else required).append((field.name, reader_of(hints[field.name])))

    def read(document: Any) -> Any:
        values = {name: read(document[name]) for name, read in required}
        for name, read in optional:
            if name in document:
                values[name] = read(document[name])
        return kind(**values)

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
