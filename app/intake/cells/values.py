"""Converts single cells to ids, numbers, ratings and times, and caches the conversion of repeated values.

A cell is read if it has the same meaning in every column; `conventions` converts those whose meaning follows from the
column.
Every converter raises `InvalidInputError`, whose message is the reason for which a row is rejected.
"""

import math
import re
from collections.abc import Callable, Hashable, Iterator
from datetime import UTC, date, datetime, time
from typing import Any, TypeVar

from app.entities import MAX_AMOUNT, UNKNOWN_TIME, clean_id, from_microseconds, to_microseconds
from app.errors import InvalidInputError
from app.intake.blocks import Column
from app.intake.cells.date_texts import parse_moment
from app.intake.cells.number_texts import (
    AS_PROGRAMS_WRITE,
    DecimalSign,
    is_plain,
    is_unclear,
    plain_form,
)
from app.intake.files.encodings import is_not_utf8, not_utf8_reason

# An epoch number is in the first unit whose limit exceeds its absolute value: seconds reach the year 5138, and
# milliseconds, microseconds and nanoseconds each begin in 1973. Each row: limit, multiplier and divisor of
# microseconds = number * multiplier / divisor.
_EPOCH_UNITS = ((10**11, 1_000_000, 1), (10**14, 1_000, 1), (10**17, 1, 1), (2**63, 1, 1_000))
EARLIEST = to_microseconds(datetime.min.replace(tzinfo=UTC))
"""Microseconds from 1970 UTC to the first moment that `datetime` can express."""

CLEARED = r"\N"
"""A cell that clears a field of an item or user, as MySQL and Postgres write NULL."""

NULLS = frozenset({"NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NaT", "NULL", "Null", "null", "None"})
"""Texts that programs write for a missing value, in any column."""

MISSING = NULLS | {"", "-", "--", "?", "nil", "Nil", "NIL", CLEARED}
"""Texts that stand for a missing id, number or time."""

# A spreadsheet writes long numbers like this and loses their last digits.
_CUT_NUMBER = re.compile(r"\d([.,]\d+)?E\+\d{2}", re.ASCII)

# Full stars, perhaps half a star, and the empty stars up to the maximum; emoji may be followed by U+FE0F.
_STARS = re.compile("(?P<full>(?:\u2605|\u2b50\ufe0f?)+)(?P<half>\u00bd)?\u2606*")
_WITH_UNIT = re.compile("(.*[0-9])\\s*(?:%|stars?|\u2605|\u2b50\ufe0f?)", re.IGNORECASE)
_QUOTED_LENGTH = 40

Converted = TypeVar("Converted")


def quote(value: Any) -> str:
    """Format a value for an error message, cut to 40 characters."""
    text = repr(value)
    return text if len(text) <= _QUOTED_LENGTH else f"{text[: _QUOTED_LENGTH - 3]}..."


class Verbatim(str):
    """A text that stands for itself, even if it is one of `MISSING`."""

    __slots__ = ()


def is_missing(value: Any) -> bool:
    """Whether the value is None, NaN, empty or a text of `MISSING`, with or without blanks around it."""
    if isinstance(value, str):
        return value.strip() in MISSING and not (value and isinstance(value, Verbatim))
    return value is None or (isinstance(value, float) and math.isnan(value))


def read_id(value: Any, field: str) -> str:
    """Return `value` as a valid id, as `clean_id` does, without blanks around it; an integer becomes its digits.

    Raises `InvalidInputError` where the value is missing, is neither text nor an integer, is not UTF-8, was cut by a
    spreadsheet (`1.23E+15`), or is not a valid id.
    """
    # JSON and Parquet hold integer ids as numbers; as text they are equal to the same ids in a CSV file.
    if type(value) is int:
        value = str(value)
    if value and is_missing(value):
        raise InvalidInputError(f"{quote(value)} stands for a missing id", field=field)
    if not isinstance(value, str):
        raise InvalidInputError(f"{quote(value)} is not an id: an id is text or an integer", field=field)
    if is_not_utf8(value):
        raise InvalidInputError(f"{quote(value)} {not_utf8_reason(value)}", field=field)
    if is_cut_number(value) and not isinstance(value, Verbatim):
        message = f"{quote(value)} is no id: a spreadsheet cut its digits; export the column as text"
        raise InvalidInputError(message, field=field)
    # A copy of a `Verbatim` as plain text, which the database drivers know.
    return clean_id(str(value).strip(), field)


def is_cut_number(text: str) -> bool:
    """Whether a spreadsheet wrote a long number without its last digits: `1.23E+15`."""
    return "E+" in text and _CUT_NUMBER.fullmatch(text.strip()) is not None


def read_number(value: Any, field: str) -> float:
    """Return a finite number from a number or its decimal text (`-1.5e3`, but not `1_000`, `nan` or `0x1`).

    Raises `InvalidInputError` for anything else.
    """
    # The exact type is compared because `bool` is a subclass of `int`.
    is_number = is_plain(value.strip()) if isinstance(value, str) else type(value) in {int, float}
    if not is_number:
        raise InvalidInputError(f"{quote(value)} is not a number", field=field)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidInputError(f"{quote(value)} is not a finite number", field=field)
    return number


def read_written_number(value: Any, field: str, sign: DecimalSign = AS_PROGRAMS_WRITE) -> float:
    """Return a number as `read_number` does, also where it has a decimal comma or separators of thousands.

    `sign`: the decimal sign of the column.

    Raises `InvalidInputError` for anything else.
    """
    if isinstance(value, str):
        value = value.strip()
        if is_unclear(value, sign):
            message = f"{quote(value)} has decimals or is above 999: state the decimal sign with --decimal"
            raise InvalidInputError(message, field=field)
        value = plain_form(value, sign) or value
    return read_number(value, field)


def read_rating(value: Any, field: str = "value", sign: DecimalSign = AS_PROGRAMS_WRITE) -> float:
    """Return `value` as a number of at most `MAX_AMOUNT` in magnitude.

    Accepts a number as `read_written_number` does, also with the unit `stars` or `%`, stars (`★★★★☆` is 4), and a
    flag as 1 or 0.

    Raises `InvalidInputError` for anything else and where the rating is missing.
    """
    if is_missing(value):
        raise InvalidInputError("the rating is missing", field=field)
    if isinstance(value, bool):
        return float(value)
    number = _number_of_stars(value) or read_written_number(_without_unit(value), field, sign)
    if abs(number) > MAX_AMOUNT:
        raise InvalidInputError(f"{quote(value)} is not a rating: it is beyond {MAX_AMOUNT:.3g}", field=field)
    return number


def _number_of_stars(value: Any) -> float | None:
    match = _STARS.fullmatch(value.strip()) if isinstance(value, str) else None
    return None if match is None else len(match["full"].replace("\ufe0f", "")) + 0.5 * bool(match["half"])


def _without_unit(value: Any) -> Any:
    match = _WITH_UNIT.fullmatch(value.strip()) if isinstance(value, str) else None
    return value if match is None else match[1]


def read_time(value: Any, field: str = "rated_at") -> int:
    """Return a time as microseconds since 1970 UTC; None, NaN and texts of `MISSING` give `UNKNOWN_TIME`.

    Accepts a date, a datetime, ISO 8601 text, a date of one reading as `parse_moment` does, and epoch seconds,
    milliseconds, microseconds or nanoseconds, whose unit follows from the magnitude. A time without a zone is UTC.

    Raises `InvalidInputError` for anything else, and for times before the year 1.
    """
    if value is None or value == "":
        return UNKNOWN_TIME
    if isinstance(value, str) and not is_plain(value.strip()):
        if is_missing(value):
            return UNKNOWN_TIME
        value = _parse_time(value.strip(), field)
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime.combine(value, time())
        microseconds = to_microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    elif is_missing(value):
        return UNKNOWN_TIME
    else:
        microseconds = _epoch_microseconds(value, field)
    # A zone can move a valid date before the year 1, and a negative epoch number can lie there.
    if microseconds < EARLIEST:
        raise InvalidInputError(f"{quote(value)} is not a time: it is before the year 1", field=field)
    return microseconds


def read_moment(value: Any, field: str) -> datetime | None:
    """Return a time, read as `read_time` does, as a UTC datetime; None where it is missing."""
    microseconds = read_time(value, field)
    return None if microseconds == UNKNOWN_TIME else from_microseconds(microseconds)


def _parse_time(text: str, field: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        moment = parse_moment(text, field)
    if moment is None:
        message = f"{quote(text)} is not a time: use epoch seconds or ISO 8601, or state its format with --date-format"
        raise InvalidInputError(message, field=field)
    return moment


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
