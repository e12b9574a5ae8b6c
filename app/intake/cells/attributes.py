"""Converts cells to texts, flags, lists and attributes of items and users that both databases can store.

Every function raises `InvalidInputError`, whose message is the reason for which a row is rejected or its cell left out.
"""

import json
import math
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from app.entities import AttributeValue
from app.errors import InvalidInputError
from app.intake.cells.list_texts import is_literal, names_in, read_literal
from app.intake.cells.values import is_missing, quote
from app.intake.column_names.columns import IGNORED_NAMES
from app.intake.files.encodings import is_not_utf8, not_utf8_reason
from app.texts import nfc

# Postgres and SQLite hold signed 64-bit integers.
_MAX_INTEGER = 2**63
_FLAGS = dict.fromkeys(("true", "1", "1.0", "yes", "y", "t"), True) | dict.fromkeys(
    ("false", "0", "0.0", "no", "n", "f"), False
)


def read_text(value: Any, field: str) -> str | None:
    """Return text in Unicode normal form C, and a number as its digits; None for None and empty text.

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
        reason = not_utf8_reason(value) if is_not_utf8(value) else "contains NUL or half of a surrogate pair"
        raise InvalidInputError(f"{quote(value)} {reason}", field=field)
    # A copy of a subclass as plain text, which the database drivers know.
    return nfc(str(value))


def read_flag(value: Any, field: str, *, default: bool) -> bool:
    """Return a flag from a bool, 1, 0, or the texts true, false, yes, no and their first letters in any case.

    A missing flag is `default`.

    Raises `InvalidInputError` for anything else.
    """
    if is_missing(value):
        return default
    flag = value if isinstance(value, bool) else _FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise InvalidInputError(f"{quote(value)} is neither true nor false", field=field)
    return flag


def read_list(value: Any, field: str) -> tuple[str, ...]:
    """Return texts from a list, from the text of a literal of a list, or from text of the form `A|B|C`.

    The texts of an array of JSON are returned as they are. Other lists and literals are read as `names_in` does.
    Returns () where missing.

    Raises `InvalidInputError` for anything else.
    """
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        value = _parse_list(value.strip(), field)
    if not isinstance(value, list | dict):
        raise InvalidInputError(f"{quote(value)} is not a list of texts", field=field)
    return tuple(_read_string(part, field) for part in _texts_in(value, field))


def _parse_list(text: str, field: str) -> list[Any]:
    if not is_literal(text):
        return [part.strip() for part in text.split("|") if part.strip()]
    try:
        parsed = json.loads(text)
    # A few kilobytes of opening brackets exceed the recursion limit of the parser.
    except (ValueError, RecursionError):
        parsed = None
    return parsed if isinstance(parsed, list) else read_literal(text, field)


def _texts_in(value: list[Any] | dict[str, Any], field: str) -> list[str]:
    is_plain = isinstance(value, list) and all(isinstance(part, str) for part in value)
    return value if is_plain and isinstance(value, list) else names_in(value, field)


def read_attributes(
    row: Mapping[str, Any], known: frozenset[str], refuse: Callable[[InvalidInputError], None]
) -> dict[str, AttributeValue]:
    """Return the attributes of a row: the JSON object in its column `attributes`, and its columns not in `known`.

    A column overwrites an attribute of the same name. Attributes with a missing value are left out, and so is every one
    that is not an `AttributeValue`, and the column `attributes` if it is not a JSON object; `refuse` is called with the
    error of each of these. An object of JSON that names something stands for its name, see `names_in`.
    """
    try:
        given = read_object(row.get("attributes"))
    except InvalidInputError as error:
        refuse(error)
        given = {}
    others = {name: value for name, value in row.items() if name not in known and name not in IGNORED_NAMES}
    attributes: dict[str, AttributeValue] = {}
    # An empty field of a CSV column means missing, whereas empty text inside the JSON object is a value.
    for name, value in (given | {name: value for name, value in others.items() if value != ""}).items():
        if value is None or value != value:  # noqa: PLR0124  NaN means missing, and is not equal to itself
            continue
        try:
            attributes[_read_string(name, "attributes")] = _read_attribute(value, name)
        except InvalidInputError as error:
            refuse(error)
    return attributes


def read_object(given: Any) -> dict[str, Any]:
    """Return the object in a column `attributes`; empty where missing. Raises `InvalidInputError` where it is none."""
    if isinstance(given, str) and given:
        given = _parse_json(given, "attributes")
    if given and not isinstance(given, dict):
        raise InvalidInputError(f"{quote(given)} is not a JSON object", field="attributes")
    return given or {}


def _read_attribute(value: Any, name: str) -> AttributeValue:
    if isinstance(value, list | dict):
        return [_read_string(part, name) for part in _texts_in(value, name)]
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
