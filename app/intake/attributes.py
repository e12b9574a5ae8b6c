"""Converts fields to texts, flags, lists and attributes of items and users that both databases can store.

Every function raises `InvalidInputError`, whose message is the reason for which a row is rejected.
"""

import json
import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from app.entities import AttributeValue
from app.errors import InvalidInputError
from app.intake.columns import IGNORED_NAMES
from app.intake.values import quote

# Postgres and SQLite hold signed 64-bit integers.
_MAX_INTEGER = 2**63
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def read_text(value: Any, field: str) -> str | None:
    """Return text unchanged and a number as its digits; None for None and empty text.

    Raises `InvalidInputError` where the value is of another type, contains NUL, or is not UTF-8.
    """
    if value is None or value == "":
        return None
    # A title such as 1984 is a number in JSON. The exact type is compared because `bool` is a subclass of `int`.
    if type(value) in {int, float}:
        value = str(value)
    if not isinstance(value, str):
        raise InvalidInputError(f"{quote(value)} is not text", field=field)
    # Postgres cannot store NUL, and surrogates cannot be encoded. ASCII text, the common case, has no surrogates.
    if value.isascii():
        is_clean = "\0" not in value
    else:
        is_clean = not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value)
    if not is_clean:
        raise InvalidInputError(f"{quote(value)} contains NUL or is not UTF-8", field=field)
    return value


def read_flag(value: Any, field: str, *, default: bool) -> bool:
    """Return a flag from a bool, 1, 0, or the texts true, false, yes and no in any case; `default` where missing.

    Raises `InvalidInputError` for anything else.
    """
    if value is None or value == "":
        return default
    flag = value if isinstance(value, bool) else _FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise InvalidInputError(f"{quote(value)} is neither true nor false", field=field)
    return flag


def read_list(value: Any, field: str) -> tuple[str, ...]:
    """Return texts from a list, from a JSON array as text, or from text of the form `A|B|C`; () where missing.

    Raises `InvalidInputError` for anything else, and for an element that is not text.
    """
    if value is None or value == "":
        return ()
    if isinstance(value, str) and value.startswith("["):
        value = _parse_json(value, field)
    if isinstance(value, str):
        value = [part.strip() for part in value.split("|") if part.strip()]
    if not isinstance(value, list):
        raise InvalidInputError(f"{quote(value)} is not a list of texts", field=field)
    return tuple(_read_string(part, field) for part in value)


def read_attributes(row: Mapping[str, Any], known: frozenset[str]) -> dict[str, AttributeValue]:
    """Return the attributes of a row: the JSON object in its column `attributes`, and its columns not in `known`.

    A column overwrites an attribute of the same name. Attributes with a missing value are left out.

    Raises `InvalidInputError` where `attributes` is not a JSON object, or a value is not an `AttributeValue`.
    """
    given = row.get("attributes")
    if isinstance(given, str) and given:
        given = _parse_json(given, "attributes")
    if given and not isinstance(given, dict):
        raise InvalidInputError(f"{quote(given)} is not a JSON object", field="attributes")
    others = {name: value for name, value in row.items() if name not in known and name not in IGNORED_NAMES}
    attributes: dict[str, AttributeValue] = {}
    # An empty field of a CSV column means missing, whereas empty text inside the JSON object is a value.
    for name, value in ((given or {}) | {name: value for name, value in others.items() if value != ""}).items():
        if value is not None:
            attributes[_read_string(name, "attributes")] = _read_attribute(value, name)
    return attributes


def _read_attribute(value: Any, name: str) -> AttributeValue:
    if isinstance(value, list):
        return [_read_string(part, name) for part in value]
    # Parquet holds dates and times as such; attributes have no date type.
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return _read_string(value, name)
    is_integer = isinstance(value, int) and abs(value) < _MAX_INTEGER
    if not is_integer and not (isinstance(value, float) and math.isfinite(value)):
        raise InvalidInputError(
            f"{quote(value)} is not a text, a finite number, true, false or a list of texts", field=name
        )
    number: AttributeValue = value
    return number


def _read_string(value: Any, field: str) -> str:
    """Return text as `read_text` does, but keep empty text and refuse numbers."""
    if not isinstance(value, str):
        raise InvalidInputError(f"{quote(value)} is not text", field=field)
    return read_text(value, field) or ""


def _parse_json(text: str, field: str) -> Any:
    try:
        return json.loads(text)
    # A few kilobytes of opening brackets exceed the recursion limit of the parser.
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{quote(text)} is not JSON", field=field) from error
