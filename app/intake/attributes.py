"""Text, flags and attributes of items and users: what may be stored in both databases."""

import json
import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from app.entities import AttributeValue
from app.errors import InvalidInputError
from app.intake.columns import IGNORED_NAMES
from app.intake.values import quote

_MAX_INTEGER = 2**63
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def read_text(value: Any, field: str) -> str | None:
    """Text as it stands, numbers as their digits; None for nothing at all.

    Raises `InvalidInputError` for NUL, which Postgres cannot keep, and for what was not UTF-8.
    """
    if value is None or value == "":
        return None
    if type(value) in {int, float}:
        value = str(value)
    if not isinstance(value, str):
        raise InvalidInputError(f"{quote(value)} is not text", field=field)
    if value.isascii():
        is_clean = "\0" not in value
    else:
        is_clean = not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value)
    if not is_clean:
        raise InvalidInputError(f"{quote(value)} holds NUL or was not UTF-8", field=field)
    return value


def read_flag(value: Any, field: str, *, default: bool) -> bool:
    if value is None or value == "":
        return default
    flag = value if isinstance(value, bool) else _FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise InvalidInputError(f"{quote(value)} is neither true nor false", field=field)
    return flag


def read_list(value: Any, field: str) -> tuple[str, ...]:
    """Texts: a list of JSON or Parquet, such a list as text, or `A|B|C`."""
    if value is None or value == "":
        return ()
    if isinstance(value, str) and value.startswith("["):
        value = _from_json(value, field)
    if isinstance(value, str):
        value = [part.strip() for part in value.split("|") if part.strip()]
    if not isinstance(value, list):
        raise InvalidInputError(f"{quote(value)} is no list of texts", field=field)
    return tuple(_listed(part, field) for part in value)


def read_attributes(row: Mapping[str, Any], known: frozenset[str]) -> dict[str, AttributeValue]:
    """What the column `attributes` holds (an object of JSON), and every column of a name that is not `known`."""
    given = row.get("attributes")
    if isinstance(given, str) and given:
        given = _from_json(given, "attributes")
    if given and not isinstance(given, dict):
        raise InvalidInputError(f"{quote(given)} is no JSON object", field="attributes")
    others = {name: value for name, value in row.items() if name not in known and name not in IGNORED_NAMES}
    attributes: dict[str, AttributeValue] = {}
    for name, value in ((given or {}) | {name: value for name, value in others.items() if value != ""}).items():
        if value is not None:
            attributes[_listed(name, "attributes")] = _read_attribute(value, name)
    return attributes


def _read_attribute(value: Any, name: str) -> AttributeValue:
    if isinstance(value, list):
        return [_listed(part, name) for part in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return _listed(value, name)
    is_integer = isinstance(value, int) and abs(value) < _MAX_INTEGER
    if not is_integer and not (isinstance(value, float) and math.isfinite(value)):
        raise InvalidInputError(f"{quote(value)} is no text, number, flag or list of texts", field=name)
    number: AttributeValue = value
    return number


def _listed(value: Any, field: str) -> str:
    """Text that may be empty."""
    if not isinstance(value, str):
        raise InvalidInputError(f"{quote(value)} is not text", field=field)
    return read_text(value, field) or ""


def _from_json(text: str, field: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{quote(text)} is not JSON", field=field) from error
