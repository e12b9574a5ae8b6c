"""How the values of ratings are written in a column: decimals, `4/5`, words such as like and dislike."""

import re
from collections import Counter
from itertools import chain
from typing import Any

from app.errors import InvalidInputError
from app.intake.blocks import Column
from app.intake.cells.column_convention import Convert, of_repeated_texts, texts_of
from app.intake.cells.number_texts import (
    AS_PROGRAMS_WRITE,
    DECIMAL_SIGNS,
    DecimalEvidence,
    DecimalSign,
    is_plain,
    without_float32_noise,
)
from app.intake.cells.values import is_missing, read_rating
from app.intake.column_names.vocabulary import OPINION_VALUES

_FEW = 0.01
"""Up to this share of values of a column that cannot be read, only their rows are rejected."""

_OPINIONS = OPINION_VALUES | {
    **dict.fromkeys(("true", "yes", "y", "t", "+1"), True),
    **dict.fromkeys(("false", "no", "n", "f", "-1"), False),
}
"""Texts for a rating of 1 and 0, as `_folded` writes them."""

_OUT_OF = re.compile(r"(?P<value>.*\S)\s*(?:/|\sout of\s)\s*(?P<maximum>\d+)(?:\s*stars?)?", re.IGNORECASE)


class ValueEvidence:
    """The values of ratings.

    `name`, `file`: for messages. `missing`: texts that stand for no rating. `decimal`: the sign of decimals that the
    user states; None for none.
    """

    def __init__(self, name: str, file: str, missing: frozenset[str], decimal: str | None) -> None:
        self._where = f"{file}, column {name}"
        self._stated = None if decimal is None else DECIMAL_SIGNS[decimal]
        self._missing = missing
        self._decimals = DecimalEvidence()
        self._texts: Counter[str] = Counter()
        self._numbers: set[float] = set()
        self._has_flags = False

    def add(self, column: Column) -> None:
        texts = texts_of(column)
        for text in texts.keys() & self._missing:
            del texts[text]
        self._decimals.add(texts)
        if not self.has_values:
            self._texts = texts
            self._numbers = {cell for cell in column if type(cell) in {int, float} and not is_missing(cell)}
            self._has_flags = bool in set(map(type, column))

    @property
    def has_values(self) -> bool:
        return bool(self._texts or self._numbers or self._has_flags)

    @property
    def is_settled(self) -> bool:
        return self.has_values and (self._stated is not None or not self._decimals.is_undecided)

    def convention(self) -> Convert | None:
        if self._has_flags:
            # A flag is a rating of 1 or 0, which means something else than a number on a scale beside it.
            return _flag_as_text if self._numbers or self._texts else None
        if self._texts and not self._numbers and all(_folded(text) in _OPINIONS for text in self._texts):
            return of_repeated_texts(lambda text: _OPINIONS.get(_folded(text), text))
        sign = self._sign()
        maximum = self._maximum()
        is_plain_column = all(map(is_plain, self._texts)) or (maximum is None and sign == AS_PROGRAMS_WRITE)
        if is_plain_column and not self._has_noise():
            return None
        of_texts = of_repeated_texts(lambda text: _rating(text, maximum, sign))
        return lambda cell: of_texts(without_float32_noise(cell) if type(cell) is float else cell)

    def _sign(self) -> DecimalSign:
        if self._stated is not None:
            return self._stated
        if self._decimals.is_undecided and self._decimals.share_undecided > _FEW:
            raise InvalidInputError(
                f"{self._where}: {self._decimals.example!r} has decimals or is above 999, and the other values"
                " do not decide it: state the decimal sign with --decimal , or --decimal .",
                field="decimal",
            )
        return self._decimals.sign

    def _maximum(self) -> str | None:
        """The number that most ratings such as 4/5 are out of; None where there are none."""
        maxima: Counter[str] = Counter()
        for text, count in self._texts.items():
            if match := _OUT_OF.fullmatch(text):
                maxima[match["maximum"]] += count
        return maxima.most_common(1)[0][0] if maxima else None

    def _has_noise(self) -> bool:
        numbers = chain(map(float, self._numbers), map(float, filter(is_plain, self._texts)))
        return any(without_float32_noise(number) != number for number in numbers)


def _folded(text: str) -> str:
    return re.sub(r"(?<=\w)[\s_-]+", " ", text.lower()).removesuffix("\ufe0f")


def _flag_as_text(cell: Any) -> Any:
    return str(cell) if isinstance(cell, bool) else cell


def _rating(text: str, maximum: str | None, sign: DecimalSign) -> Any:
    match = _OUT_OF.fullmatch(text) if maximum else None
    # A rating out of another maximum is not comparable.
    if match and match["maximum"] != maximum:
        return text
    try:
        return without_float32_noise(read_rating(match["value"] if match else text, sign=sign))
    except InvalidInputError:
        return text
