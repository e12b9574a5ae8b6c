"""Dates as people and spreadsheets write them, and the order of day and month in a column.

A date of numbers in which the year comes last, `03/04/2015` or `03-04-15`, follows the other dates of its column
(`OrderEvidence`). All others have one reading: the year comes first (`2015/04/03`), the month has an English name
(`03-Apr-2015`, `Apr 3, 2015`, `Fri Apr 03 18:00:09 +0000 2015`), points separate day, month and year (`03.04.2015`), or
a comma precedes the year (`04 03, 2015`, with the month first).

A time of day may follow, with AM or PM, and a zone: Z, UTC, GMT or an offset. Names of other zones are refused, because
many of them are ambiguous. A year of two digits lies from 1969 to 2068.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Literal, get_args

from app.errors import InvalidInputError

Order = Literal["day", "month", "year"]
"""The part that comes first in a date of numbers with the year last; `year` for a date such as 98/04/03."""

_FORMATS: Mapping[Order, str] = {"day": "%d/%m/{}", "month": "%m/%d/{}", "year": "{}/%m/%d"}

_WEEKDAY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+", re.IGNORECASE)
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_FIRST_OF_LAST_CENTURY = 69
"""Years of two digits from this on lie in the 20th century, as in `datetime.strptime`."""

_BY_ORDER = re.compile(r"(?P<first>\d{1,2})(?P<sign>[/-])(?P<second>\d{1,2})(?P=sign)(?P<last>\d{4}|\d{2})", re.ASCII)
_OF_ONE_READING = [
    re.compile(pattern, re.ASCII)
    for pattern in (
        r"(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})",
        r"(?P<year>\d{4})[-/ ](?P<month>[A-Za-z]{3,9})[-/ ](?P<day>\d{1,2})",
        r"(?P<day>\d{1,2})(?:st|nd|rd|th)?[-/. ]{0,2}(?P<month>[A-Za-z]{3,9})[-/., ]{0,2}(?P<year>\d{4}|\d{2})",
        r"(?P<month>[A-Za-z]{3,9})\.?[- ]{1,2}(?P<day>\d{1,2})(?:st|nd|rd|th)?,?[- ]{1,2}(?P<year>\d{4})",
        r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4}|\d{2})",
        r"(?P<month>\d{1,2}) (?P<day>\d{1,2}), (?P<year>\d{4})",
    )
]
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_ZONE = r"(?P<zone>[Zz]|(?:UTC|GMT)?\s?[+-]\d{2}(?::?\d{2})?|[A-Za-z]{3,5})"
# JavaScript adds the name of the zone in parentheses to the offset.
_AFTER_DATE = re.compile(rf"(?:(?:[Tt:]|,?\s+(?:at\s+)?){_CLOCK}(?:\s*{_ZONE}(?:\s\([^)]*\))?)?)?", re.ASCII)
# `Fri Apr 03 18:00:09 +0000 2015`, as `ctime` and Twitter write it.
_YEAR_AT_END = re.compile(
    rf"(?P<month>[A-Za-z]{{3}})\s+(?P<day>\d{{1,2}})\s+{_CLOCK}(?:\s+{_ZONE})?\s+(?P<year>\d{{4}})", re.ASCII
)
_OFFSET = re.compile(r"(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})?")
_HOURS_OF_HALF_DAY = 12


def parse_moment(text: str, field: str) -> datetime | None:
    """Return the time that a text of one reading states, in UTC where it names no zone; None for any other text.

    Raises `InvalidInputError` where the zone is a name other than UTC and GMT.
    """
    text = _WEEKDAY.sub("", text, count=1)
    match = _YEAR_AT_END.fullmatch(text)
    if match:
        return _moment(_of_parts(match), match, field)
    for pattern in _OF_ONE_READING:
        match = pattern.match(text)
        rest = match and _AFTER_DATE.fullmatch(text, match.end())
        if match and rest:
            return _moment(_of_parts(match), rest, field)
    return None


def parse_ordered(text: str, order: Order, field: str) -> datetime | None:
    """As `parse_moment`, for a text that follows the order of its column; None for any other text."""
    match = _BY_ORDER.match(text)
    rest = match and _AFTER_DATE.fullmatch(text, match.end())
    return _moment(_readings(match).get(order), rest, field) if match and rest else None


def _date_part(text: str) -> str | None:
    """Return the date of a text that ends with a time of day; None for any other text."""
    for match in re.finditer(r"[Tt,\s]", text):
        if match.start() and _AFTER_DATE.fullmatch(text, match.start()):
            return text[: match.start()]
    return None


class OrderEvidence:
    """Finds the order of day and month in a column.

    A date that is valid in one order alone (`13/03/2015`) decides, and all others must be valid in this order as well.
    A date that is valid in no order says nothing.

    `latest`: later dates are not valid; None where dates have no end.
    """

    def __init__(self, latest: date | None = None) -> None:
        self._latest = date.max if latest is None else latest
        self._possible: set[Order] = set(get_args(Order))
        self._deciding: list[str] = []
        self._unclear: str | None = None
        self._example: str | None = None

    def add(self, texts: Iterable[str]) -> None:
        """`texts`: cells of the column; those that have one reading are ignored."""
        matches = [(text, match) for text in texts if (match := _BY_ORDER.match(text))]
        dates = {match.group(): match for text, match in matches if _AFTER_DATE.fullmatch(text, match.end())}
        for text, match in dates.items():
            readings = {order: day for order, day in _readings(match).items() if day <= self._latest}
            self._example = self._example or text
            if len(set(readings.values())) > 1:
                self._unclear = self._unclear or text
            if readings and not self._possible <= readings.keys():
                self._possible &= readings.keys()
                self._deciding.append(text)

    @property
    def is_undecided(self) -> bool:
        """Whether more dates may decide."""
        return self._example is not None and len(self._possible) > 1

    def order(self, file: str, column: str) -> Order | None:
        """Return the order; None where no date depends on it.

        Raises `InvalidInputError` where the dates contradict each other, and where several orders are possible.
        """
        if self._example is None:
            return None
        if len(self._possible) == 1 or (self._unclear is None and self._possible):
            return next(order for order in get_args(Order) if order in self._possible)
        years = "%Y" if re.search(r"\d{4}", self._example) else "%y"
        orders = [order for order in get_args(Order) if order in self._possible] or ["day", "month"]
        flags = " or ".join(f"--date-format {_FORMATS[order].format(years)}" for order in orders)
        reason = (
            f"the order of day and month in {self._unclear!r} does not follow from its values: state it with {flags}"
            if self._possible
            else f"{' and '.join(map(repr, self._deciding[-2:]))} have day and month in different orders: state one of"
            f" them with {flags}; rows with the other are rejected"
        )
        raise InvalidInputError(f"{file}, column {column}: {reason}", field="date_format")


def _readings(match: re.Match[str]) -> dict[Order, date]:
    """The valid dates of a text by order."""
    first, second, last = match["first"], match["second"], match["last"]
    parts: dict[Order, tuple[str, str, str]] = {"day": (last, second, first), "month": (last, first, second)}
    # A year of four digits at the end excludes another one at the beginning.
    if len(last) == len("98") == len(first):
        parts["year"] = (first, second, last)
    dates = {order: _date(*each) for order, each in parts.items()}
    return {order: each for order, each in dates.items() if each is not None}


def _of_parts(match: re.Match[str]) -> date | None:
    return _date(match["year"], match["month"], match["day"])


def _date(year: str, month: str, day: str) -> date | None:
    full = int(year)
    if len(year) == len("98"):
        full += 2000 if full < _FIRST_OF_LAST_CENTURY else 1900
    try:
        return date(full, _month(month), int(day))
    except ValueError:
        return None


def _month(text: str) -> int:
    """The number of a month from its number or its name; 0 for another text."""
    if text.isdecimal():
        return int(text)
    return next((number for number, name in enumerate(_MONTHS, start=1) if name.startswith(text.lower())), 0)


def _moment(day: date | None, match: re.Match[str], field: str) -> datetime | None:
    """The day with the time of day of a match; None where either is not valid."""
    if day is None:
        return None
    if match["hour"] is None:
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    hour = int(match["hour"])
    if match["half"]:
        if not 1 <= hour <= _HOURS_OF_HALF_DAY:
            return None
        hour = hour % _HOURS_OF_HALF_DAY + _HOURS_OF_HALF_DAY * (match["half"] in "Pp")
    # Python holds microseconds; further digits are cut off.
    microsecond = int((match["fraction"] or "0")[:6].ljust(6, "0"))
    clock = hour, int(match["minute"]), int(match["second"] or 0), microsecond
    try:
        return datetime(day.year, day.month, day.day, *clock, tzinfo=_zone(match["zone"], field))
    except ValueError:
        return None


def _zone(text: str | None, field: str) -> timezone:
    if text is None or text.upper() in {"Z", "UTC", "GMT"}:
        return UTC
    offset = _OFFSET.search(text)
    if offset is None:
        message = f"the time zone {text!r} is not known: use UTC or an offset such as +02:00"
        raise InvalidInputError(message, field=field)
    # `timezone` refuses offsets of a day and more with a ValueError.
    amount = timedelta(hours=int(offset["hours"]), minutes=int(offset["minutes"] or 0))
    return timezone(-amount if offset["sign"] == "-" else amount)


class StatedFormat:
    """Reads times in the format of `datetime.strptime` that a user states.

    A format without a time of day also reads dates that a time of day follows.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def parse(self, text: str, field: str) -> datetime | None:
        """Return the time, in UTC where it names no zone; None where the text has another format."""
        moment = self._strptime(text)
        if moment is None and (day := _date_part(text)) is not None:
            stated = self._strptime(day)
            rest = _AFTER_DATE.fullmatch(text, len(day))
            moment = _moment(stated.date(), rest, field) if stated and rest else None
        return moment

    def _strptime(self, text: str) -> datetime | None:
        try:
            moment = datetime.strptime(text, self._text)  # noqa: DTZ007  a zone is added below where the text has none
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
