"""What the attributes in a column of a text file are: numbers, flags, lists or texts."""

import math
import re
from typing import Any

from app.errors import InvalidInputError
from app.intake.blocks import Column
from app.intake.cells.column_convention import Convert, of_texts, texts_of
from app.intake.cells.list_texts import is_literal, read_literal
from app.intake.cells.number_texts import (
    POINT,
    DecimalEvidence,
    DecimalSign,
    is_grouped_by_blanks,
    is_integer,
    plain_form,
    without_float32_noise,
)
from app.intake.cells.values import CLEARED, MISSING

_FLAGS = {"true": True, "false": False}
_PLAIN_AMOUNT = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d+)?", re.ASCII)
_CODE = re.compile(r"\+.*|[+-]?0\d.*|\d+[eE]\d+", re.ASCII)
_NAME_OF_CODES = re.compile(
    r"(.*_)?(ids?|uuid|guid|version|zip|postal|(phone|telephone|tel|mobile|fax)(_?(number|no))?)"
    r"|(.*_)?(isbn|issn|ean|upc|gtin|asin|sku|imdb|tmdb)(_?\d+)?|.*codes?"
)
_MAX_EXACT = 2**53
"""JSON clients hold numbers as floats, which are exact up to this integer."""


class AttributeEvidence:
    """Attributes, which have one type in a file.

    They are numbers, flags (`true` and `false`) or literals of lists where all values are, and texts otherwise. Codes
    are texts: numbers with leading zeros or beyond 2^53, and columns named like an id, a postal code, a phone number or
    the number of a product.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._has_values = False
        self._are_flags = self._are_lists = True
        self._are_numbers = _NAME_OF_CODES.fullmatch(_snake(name)) is None
        self._are_whole = True
        self._has_blanks = False
        self._decimals = DecimalEvidence()

    def add(self, column: Column) -> None:
        texts = texts_of(column)
        texts.pop(CLEARED, None)
        self._has_values |= bool(texts)
        self._are_flags &= all(text.lower() in _FLAGS for text in texts)
        self._are_lists &= all(_is_list(text, self._name) for text in texts)
        self._are_numbers &= all(map(_is_amount, texts))
        if self._are_numbers:
            self._decimals.add(texts)
            self._are_whole &= all(map(_is_whole, texts))
            self._has_blanks |= any(map(is_grouped_by_blanks, texts))

    @property
    def is_settled(self) -> bool:
        return not (self._are_flags or self._are_lists or self._are_numbers)

    def convention(self) -> Convert | None:
        if not self._has_values:
            return _text_or_missing
        if self._are_flags:
            return of_texts(lambda text: _FLAGS.get(text.lower(), _text_or_missing(text)))
        if self._are_lists:
            return of_texts(lambda text: read_literal(text, self._name) if is_literal(text) else _text_or_missing(text))
        sign = self._decimals.sign
        # Whole numbers with blanks between their digits may be phone numbers.
        is_unclear = self._decimals.is_undecided or sign.point is None or (self._has_blanks and self._are_whole)
        if self._are_numbers and not is_unclear:
            return of_texts(lambda text: _amount(text, sign, is_whole=self._are_whole))
        return _text_or_missing


def _snake(name: str) -> str:
    return re.sub(r"\W+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).lower()


def _text_or_missing(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    return None if text in MISSING and text != CLEARED else text


def _is_list(text: str, field: str) -> bool:
    # An object may hold more than names.
    if not text.startswith("["):
        return False
    try:
        read_literal(text, field)
    except InvalidInputError:
        return False
    return True


def _is_amount(text: str) -> bool:
    """Whether the text is a number and not a code."""
    if _PLAIN_AMOUNT.fullmatch(text):
        return True
    plain = None if _CODE.fullmatch(text) else plain_form(text, POINT)
    if plain is None or not math.isfinite(float(plain)):
        return False
    return not is_integer(plain) or abs(int(plain)) <= _MAX_EXACT


def _is_whole(text: str) -> bool:
    return text.isdecimal() or is_integer(plain_form(text, POINT) or "")


def _amount(text: str, sign: DecimalSign, *, is_whole: bool) -> Any:
    plain = text if sign.point and _PLAIN_AMOUNT.fullmatch(text) else plain_form(text, sign)
    if plain is None:
        return _text_or_missing(text)
    return int(plain) if is_whole and is_integer(plain) else without_float32_noise(float(plain))
