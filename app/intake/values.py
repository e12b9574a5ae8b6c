"""What one field means: an id, a number, a moment. Each raises `InvalidInputError` with the reason a row is refused."""

import math
import re
from datetime import UTC, date, datetime, time
from typing import Any

from app.entities import MAX_RATING, UNKNOWN_TIME, clean_id, from_microseconds, to_microseconds
from app.errors import InvalidInputError

# Epoch numbers tell their unit by their size: seconds up to the year 5138, the finer units from 1973 on.
# (numbers below this, times, by) -> microseconds
_UNITS = ((10**11, 1_000_000, 1), (10**14, 1_000, 1), (10**17, 1, 1), (2**63, 1, 1_000))
EARLIEST = to_microseconds(datetime.min.replace(tzinfo=UTC))

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_QUOTED_LENGTH = 40


def quote(value: Any) -> str:
    """How a message quotes what it refuses."""
    text = repr(value)
    return text if len(text) <= _QUOTED_LENGTH else f"{text[: _QUOTED_LENGTH - 3]}..."


def read_id(value: Any, field: str) -> str:
    """A clean id; whole numbers of JSON and Parquet stand for their digits, as they would in CSV."""
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise InvalidInputError(f"{quote(value)} is no id: an id is text or a whole number", field=field)
    if is_not_utf8(value):
        raise InvalidInputError(f"{quote(value)} was not UTF-8 (iconv -f latin1 -t utf-8 mends that)", field=field)
    return clean_id(value, field)


def is_not_utf8(text: str) -> bool:
    """Whether bytes stand in it that were not UTF-8, which decoding left as lone surrogates."""
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


def read_number(value: Any, field: str) -> float:
    """A finite number; text must look like one (no `1_000`, no `nan`, no `0x1`)."""
    is_number = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) else type(value) in {int, float}
    if not is_number:
        raise InvalidInputError(f"{quote(value)} is not a number", field=field)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidInputError(f"{quote(value)} is not a finite number", field=field)
    return number


def read_rating(value: Any, field: str = "value") -> float:
    number = read_number(value, field)
    if abs(number) > MAX_RATING:
        raise InvalidInputError(f"{quote(value)} is no rating: beyond {MAX_RATING:g}", field=field)
    return number


def read_time(value: Any, field: str = "rated_at") -> int:
    """Microseconds since 1970 UTC; `UNKNOWN_TIME` for nothing at all.

    Epoch seconds, milli-, micro- or nanoseconds (told apart by size), or ISO 8601; without a zone it is UTC.
    """
    if value is None or value == "":
        return UNKNOWN_TIME
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        value = _iso_8601(value.strip(), field)
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime.combine(value, time())
        microseconds = to_microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    else:
        microseconds = _epoch(value, field)
    if microseconds < EARLIEST:
        raise InvalidInputError(f"{quote(value)} is not a time: before the year 1", field=field)
    return microseconds


def read_moment(value: Any, field: str) -> datetime | None:
    """`read_time` as a datetime; None for nothing at all."""
    microseconds = read_time(value, field)
    return None if microseconds == UNKNOWN_TIME else from_microseconds(microseconds)


def _iso_8601(text: str, field: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInputError(f"{quote(text)} is not a time: epoch seconds or ISO 8601", field=field) from error


def _epoch(value: Any, field: str) -> int:
    number = read_number(value, field)
    if isinstance(value, int) or (isinstance(value, str) and value.strip().lstrip("+-").isdigit()):
        number = int(value)  # nanoseconds have more digits than a float
    for limit, times, by in _UNITS:
        if abs(number) < limit:
            return number * times // by if isinstance(number, int) else round(number * times / by)
    raise InvalidInputError(f"{quote(value)} is not a time: too far from now", field=field)
