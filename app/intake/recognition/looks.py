"""What the values of a column look like, judged by a sample of them."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from app.intake.blocks import Column
from app.intake.cells.number_texts import rough_number
from app.intake.cells.values import is_missing
from app.intake.column_names.meanings import Meaning
from app.intake.column_names.vocabulary import ACTION_VALUES, OPINION_VALUES

SAMPLE_VALUES = 1_000
"""Number of values in the sample of a column."""

MOST = 0.95
"""The share of the values that must look alike; the rest may be mistakes."""


class Look(StrEnum):
    """What the values of a column look like. The text completes the sentence "its values look like ..."."""

    EMPTY = "nothing"
    MOMENT = "times"
    DATE = "dates"
    FLAG = "yes and no"
    GRADE = "grades"
    OPINION = "opinions"
    INTEGER = "whole numbers"
    NUMBER = "numbers"
    CODE = "codes"
    COUNTER = "row numbers"
    ACTION = "actions"
    EMAIL = "e-mail addresses"
    TEXT = "texts"
    NESTED = "lists or objects"


NUMERIC_LOOKS = frozenset({Look.FLAG, Look.GRADE, Look.INTEGER, Look.NUMBER})


@dataclass(frozen=True, slots=True)
class SampledColumn:
    """What is known of a column of a file.

    `name`: its name in the file.
    `ours`: its name in Reckon; empty where Reckon has none, and `-` where the column is ignored.
    `meaning`: what the name says.
    `look`: what the values look like.
    `missing_share`: the share of the values that are missing; 0 without any rows.
    """

    name: str
    ours: str
    meaning: Meaning
    look: Look
    missing_share: float

    @property
    def is_named_by_number(self) -> bool:
        """Whether the name is a number, as in a matrix and where the first row is data."""
        return is_like_data(self.name)


# Times of the web: from 1990 to 2100, in seconds, milliseconds, microseconds and nanoseconds.
_EPOCHS = tuple((631_152_000 * unit, 4_102_444_800 * unit) for unit in (1, 10**3, 10**6, 10**9))
_HIGHEST_GRADE = 10
_COMPACT_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", re.ASCII)
_MONTH = r"(\d{1,2}|[A-Za-z]{3,9})"
_DATE = re.compile(
    rf"\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}|\d{{1,2}}([-/. ]){_MONTH}[-/., ]+(\d{{4}}|\d{{2}})\b"
    r"|[A-Za-z]{3,9}\.? \d{1,2},? \d{4}",
    re.ASCII,
)
_CLOCK = re.compile(r"\d{1,2}:\d{2}", re.ASCII)
_YEAR = re.compile(r"\b(19|20)\d\d\b", re.ASCII)
_LONGEST_TIME = 40
# Letters and digits mixed, or a long number of base 16 or 64: `A1B2`, `u17`, `sku-9`, a UUID.
_CODE = re.compile(
    r"(?=.*\d)(?=.*[A-Za-z])([A-Za-z\d_.#-]{2,64}|[A-Za-z\d+/]{16,64}={0,2})|[\da-fA-F]{16,64}", re.ASCII
)
# `4.5 stars`, `85 %`, `4/5`
_WORDED_GRADE = re.compile(r"\d+([.,]\d+)?\s*(/\s*\d+|%|★+|stars?)|[★☆]+", re.IGNORECASE)
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@.]+")
_FLAGS = frozenset(["true", "false", "yes", "no", "0", "1"])
# The looks of a column, the narrowest first, with the looks of its values: some grades are 0 or 1, and some ids are
# large enough for a time.
_WHOLE = (Look.FLAG, Look.GRADE, Look.INTEGER, Look.MOMENT, Look.DATE)
_PARTS: dict[Look, tuple[Look, ...]] = {
    Look.FLAG: (Look.FLAG,),
    Look.OPINION: (Look.OPINION,),
    Look.GRADE: (Look.FLAG, Look.GRADE, Look.OPINION),
    Look.MOMENT: (Look.MOMENT,),
    Look.DATE: (Look.DATE,),
    Look.NESTED: (Look.NESTED,),
    Look.ACTION: (Look.ACTION,),
    Look.EMAIL: (Look.EMAIL,),
    Look.INTEGER: _WHOLE,
    Look.NUMBER: (*_WHOLE, Look.NUMBER),
    Look.CODE: (*_WHOLE, Look.CODE),
}


def look_of(column: Column) -> Look:
    """Return what most of the values of a column look like; missing values do not count."""
    present = [value for value in column[:SAMPLE_VALUES] if not is_missing(value)]
    if not present:
        return Look.EMPTY
    looks = Counter(map(look_of_value, present))
    fitting = (look for look, parts in _PARTS.items() if sum(looks[part] for part in parts) >= MOST * len(present))
    look = next(fitting, Look.TEXT)
    return Look.COUNTER if look in {Look.GRADE, Look.INTEGER} and _is_counter(present) else look


def missing_share(column: Column) -> float:
    """Return the share of the values that are missing; 0 for an empty column."""
    sampled = column[:SAMPLE_VALUES]
    return sum(map(is_missing, sampled)) / len(sampled) if len(sampled) else 0.0


def look_of_value(value: Any) -> Look:  # noqa: PLR0911  one line a look
    """Return what a value that is not missing looks like by itself."""
    if isinstance(value, date):
        return Look.MOMENT if isinstance(value, datetime) else Look.DATE
    if isinstance(value, dict | list | tuple):
        return Look.NESTED
    text = str(value).strip().casefold()
    if text in _FLAGS:
        return Look.FLAG
    if _COMPACT_DATE.fullmatch(text):
        return Look.DATE
    if (number := rough_number(text)) is not None:
        return _look_of_number(number)
    if text in OPINION_VALUES or text in ACTION_VALUES:
        return Look.OPINION if text in OPINION_VALUES else Look.ACTION
    if _WORDED_GRADE.fullmatch(text):
        return Look.GRADE
    if _CLOCK.search(text) and _YEAR.search(text) and len(text) <= _LONGEST_TIME:
        return Look.MOMENT
    if _DATE.match(text) and len(text) <= _LONGEST_TIME:
        return Look.MOMENT if _CLOCK.search(text) else Look.DATE
    patterns = ((Look.EMAIL, _EMAIL), (Look.CODE, _CODE))
    return next((look for look, pattern in patterns if pattern.fullmatch(text)), Look.TEXT)


def is_like_data(name: str) -> bool:
    """Whether the name of a column is a number or a time, which a first row of data has."""
    return not is_missing(name) and look_of_value(name) in {*NUMERIC_LOOKS, Look.MOMENT, Look.DATE}


def _look_of_number(number: float) -> Look:
    if any(low <= number <= high for low, high in _EPOCHS):
        return Look.MOMENT
    if 0 <= number <= _HIGHEST_GRADE and (2 * number).is_integer():
        return Look.GRADE
    return Look.INTEGER if number.is_integer() else Look.NUMBER


def _is_counter(values: Sequence[Any]) -> bool:
    """Whether whole numbers count the rows: from 0 or 1 on, each is one more than the one before."""
    texts = [str(value).strip() for value in values]
    return len(texts) > 1 and texts in (
        [str(number) for number in range(len(texts))],
        [str(number + 1) for number in range(len(texts))],
    )


def may_be_ids(column: Column) -> bool:
    """Whether some values may be ids: texts and whole numbers, but not true and false, fractions or lists."""
    present = [value for value in column[:SAMPLE_VALUES] if not is_missing(value)]
    return not present or not all(map(_is_no_id, present))


def _is_no_id(value: Any) -> bool:
    text = str(value).strip().casefold()
    is_flag = text in _FLAGS and not text.isdigit()
    number = rough_number(text)
    is_fraction = number is not None and not number.is_integer()
    return is_flag or is_fraction or isinstance(value, dict | list | tuple)


def count_repeats(column: Column) -> int:
    """Return how many values of a column occur again; missing values do not count."""
    present = [str(value) for value in column if not is_missing(value)]
    return len(present) - len(set(present))
