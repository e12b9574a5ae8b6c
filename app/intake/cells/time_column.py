"""How times are written in a column: the order of day and month, years and days as numbers, a stated format."""

import re
from datetime import UTC, date, datetime
from typing import Any

from app.errors import InvalidInputError
from app.intake.blocks import Column
from app.intake.cells.column_convention import Convert, of_repeated_texts, texts_of
from app.intake.cells.date_texts import Order, OrderEvidence, StatedFormat, parse_ordered
from app.intake.cells.values import is_missing, read_time

_YEAR = re.compile(r"(?P<year>19\d\d|20\d\d|2100)(?:\.0)?", re.ASCII)
_YEAR_MONTH_DAY = re.compile(r"(?:19|20)\d{6}(?:\.0)?", re.ASCII)


class TimeEvidence:
    """Times.

    `name`, `file`: for messages. `date_format`: the format that the user states; None for none. `latest`: no time is
    later; None where times have no end.
    """

    def __init__(self, name: str, file: str, date_format: str | None, latest: date | None) -> None:
        self._name = name
        self._file = file
        self._stated = None if date_format is None else StatedFormat(date_format)
        self._order = OrderEvidence(latest)
        self._has_values = False
        self._are_years = self._are_days = True
        self._is_read = False
        self._unread: str | None = None

    def add(self, column: Column) -> None:
        texts = texts_of(column)
        numbers = {str(cell) for cell in column if type(cell) in {int, float} and not is_missing(cell)}
        has_others = any(not isinstance(cell, str | int | float) and cell is not None for cell in column)
        self._has_values |= bool(texts) or bool(numbers) or has_others
        written = texts.keys() | numbers
        self._are_years &= not has_others and all(map(_YEAR.fullmatch, written))
        self._are_days &= not has_others and all(_day(text) is not None for text in written)
        if self._stated is None:
            self._order.add(texts)
            return
        for text in texts:
            if isinstance(self._in_stated_format(text), datetime):
                self._is_read = True
                break
            self._unread = self._unread or (text if _is_unread(text) else None)

    @property
    def is_settled(self) -> bool:
        return self._has_values and (self._stated is not None or not self._order.is_undecided)

    def convention(self) -> Convert | None:
        if not self._has_values:
            return None
        if self._stated is not None:
            if self._unread is not None and not self._is_read:
                message = (
                    f"{self._file}, column {self._name}: no value fits --date-format, for instance {self._unread!r}"
                )
                raise InvalidInputError(message, field="date_format")
            return of_repeated_texts(self._in_stated_format) if self._is_read else None
        order = self._order.order(self._file, self._name)
        if order is not None:
            return of_repeated_texts(lambda text: self._in_order(text, order))
        if self._are_years:
            return lambda cell: cell if is_missing(cell) else _year(str(cell).strip()) or f"{cell} (not a year)"
        if self._are_days:
            return lambda cell: cell if is_missing(cell) else _day(str(cell).strip()) or f"{cell} (not a day)"
        return None

    def _in_stated_format(self, text: str) -> Any:
        try:
            return (self._stated and self._stated.parse(text, self._name)) or text
        except InvalidInputError:
            return text

    def _in_order(self, text: str, order: Order) -> Any:
        try:
            return parse_ordered(text, order, self._name) or text
        except InvalidInputError:
            return text


def _is_unread(text: str) -> bool:
    """Whether a time cannot be read without its format."""
    try:
        read_time(text)
    except InvalidInputError:
        return True
    return False


def _year(text: str) -> datetime | None:
    match = _YEAR.fullmatch(text)
    return None if match is None else datetime(int(match["year"]), 1, 1, tzinfo=UTC)


def _day(text: str) -> datetime | None:
    """The day of a number such as 20150403; None for other text."""
    if not _YEAR_MONTH_DAY.fullmatch(text):
        return None
    try:
        return datetime.strptime(text[:8], "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None
