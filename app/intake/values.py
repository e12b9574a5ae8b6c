"""Converts single fields to ids, numbers, ratings and times, and caches the conversion of repeated values.

Every converter raises `InvalidInputError`, whose message is the reason for which a row is rejected.
"""

import math
import re
from collections.abc import Callable, Hashable, Iterator
from datetime import UTC, date, datetime, time
from typing import Any, TypeVar

from app.entities import MAX_RATING, UNKNOWN_TIME, clean_id, from_microseconds, to_microseconds
from app.errors import InvalidInputError
from app.intake.blocks import Column

# An epoch number is in the first unit whose limit exceeds its absolute value: seconds reach the year 5138, and
# milliseconds, microseconds and nanoseconds each begin in 1973. Each row: limit, multiplier and divisor of
# microseconds = number * multiplier / divisor.
_EPOCH_UNITS = ((10**11, 1_000_000, 1), (10**14, 1_000, 1), (10**17, 1, 1), (2**63, 1, 1_000))
EARLIEST = to_microseconds(datetime.min.replace(tzinfo=UTC))
"""Microseconds from 1970 UTC to the first moment that `datetime` can express."""

# `float` also accepts `1_000`, `nan` and non-ASCII digits; in a file of ratings these are mistakes.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_QUOTED_LENGTH = 40

Converted = TypeVar("Converted")


def quote(value: Any) -> str:
    """Format a value for an error message, cut to 40 characters."""
    text = repr(value)
    return text if len(text) <= _QUOTED_LENGTH else f"{text[: _QUOTED_LENGTH - 3]}..."


def read_id(value: Any, field: str) -> str:
    """Return `value` as a valid id, as `clean_id` does; an integer becomes its decimal digits.

    Raises `InvalidInputError` where the value is neither text nor an integer, is not UTF-8, or is not a valid id.
    """
    # JSON and Parquet hold integer ids as numbers; as text they are equal to the same ids in a CSV file.
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise InvalidInputError(f"{quote(value)} is not an id: an id is text or an integer", field=field)
    if is_not_utf8(value):
        raise InvalidInputError(
            f"{quote(value)} is not UTF-8: convert the file first (iconv -f latin1 -t utf-8)", field=field
        )
    return clean_id(value, field)


def is_not_utf8(text: str) -> bool:
    """Whether `text` was decoded from bytes that are not UTF-8, which `decode_utf8` leaves as lone surrogates."""
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)


def read_number(value: Any, field: str) -> float:
    """Return a finite number from a number or its decimal text (`-1.5e3`, but not `1_000`, `nan` or `0x1`).

    Raises `InvalidInputError` for anything else.
    """
    # The exact type is compared because `bool` is a subclass of `int`.
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
    """Return `value` as a number of at most `MAX_RATING` in magnitude; raises `InvalidInputError` otherwise."""
    number = read_number(value, field)
    if abs(number) > MAX_RATING:
        raise InvalidInputError(f"{quote(value)} is not a rating: it is beyond {MAX_RATING:g}", field=field)
    return number


def read_time(value: Any, field: str = "rated_at") -> int:
    """Return a time as microseconds since 1970 UTC; None and empty text give `UNKNOWN_TIME`.

    Accepts a date, a datetime, ISO 8601 text, and epoch seconds, milliseconds, microseconds or nanoseconds, whose unit
    follows from the magnitude. A time without a zone is UTC.

    Raises `InvalidInputError` for anything else, and for times before the year 1.
    """
    if value is None or value == "":
        return UNKNOWN_TIME
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        value = _parse_iso_8601(value.strip(), field)
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime.combine(value, time())
        microseconds = to_microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    else:
        microseconds = _epoch_microseconds(value, field)
    # A zone can move a valid date before the year 1, and a negative epoch number can lie there.
    if microseconds < EARLIEST:
        raise InvalidInputError(f"{quote(value)} is not a time: it is before the year 1", field=field)
    return microseconds


def read_moment(value: Any, field: str) -> datetime | None:
    """Return a time, read as `read_time` does, as a UTC datetime; None for None and empty text."""
    microseconds = read_time(value, field)
    return None if microseconds == UNKNOWN_TIME else from_microseconds(microseconds)


def _parse_iso_8601(text: str, field: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{quote(text)} is not a time: use epoch seconds or ISO 8601"
        raise InvalidInputError(message, field=field) from error


def _epoch_microseconds(value: Any, field: str) -> int:
    number = read_number(value, field)
    # Integers are kept as `int`: nanoseconds since 1970 have more digits than a float holds.
    if isinstance(value, int) or (isinstance(value, str) and value.strip().lstrip("+-").isdigit()):
        number = int(value)
    for limit, multiplier, divisor in _EPOCH_UNITS:
        if abs(number) < limit:
            if isinstance(number, int):
                return number * multiplier // divisor
            return round(number * multiplier / divisor)
    raise InvalidInputError(f"{quote(value)} is not a time: it is beyond the range of epoch numbers", field=field)


class ValueCache(dict[Hashable, Converted]):
    """Caches `convert(value)` of each distinct value, because ids and rating values repeat many times in a file.

    `types`: only values of these types are cached. In a column of mixed types 1, 1.0 and True would share one key,
    although they convert differently.
    """

    # The cache is emptied when it is full, so that memory stays bounded however many ids a file has.
    capacity = 200_000

    def __init__(self, convert: Callable[[Any], Converted], types: frozenset[type]) -> None:
        super().__init__()
        self._convert = convert
        self._types = types

    def __missing__(self, value: Hashable) -> Converted:
        converted = self._convert(value)
        if len(self) >= self.capacity:
            self.clear()
        self[value] = converted
        return converted

    def convert_column(self, column: Column) -> Iterator[Converted]:
        """Return an iterator over the converted values of a column, in order; it raises what `convert` raises."""
        # `map` over a bound method keeps the loop in C, where cached values cost one dictionary lookup each.
        if set(map(type, column)) <= self._types:
            return map(self.__getitem__, column)
        return map(self._convert, column)

    def convert_value(self, value: Any) -> Converted:
        """Convert one value; raises what `convert` raises."""
        return self[value] if type(value) in self._types else self._convert(value)
