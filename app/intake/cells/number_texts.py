"""Numbers as people and spreadsheets write them: decimal commas, separators of thousands, noise of single precision.

Which sign is the decimal one follows from the form of a number wherever only one reading is possible:

- A single comma or point is a decimal sign (`4,5`), unless exactly three digits follow it and one to three precede it.
- Of a comma and a point, the last one is the decimal sign (`1.234,56`, `1,234.56`).
- A sign that occurs twice separates thousands (`1.234.567`), also in India (`12,34,567`).
- A blank or an apostrophe between groups of three digits separates thousands (`1 234,56`, `1'234.56`).

That leaves `1,234` and `1.234`, which follow the other numbers of their column (`DecimalEvidence`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# `float` also accepts `1_000`, `nan` and non-ASCII digits; in a file of ratings these are mistakes.
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ONE_COMMA = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
_ONE_POINT = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}", re.ASCII)
_GROUPED_BY_COMMAS = re.compile(
    r"[+-]?([1-9]\d{0,2}(,\d{3})+\.\d*|[1-9]\d{0,2}(,\d{3}){2,}|[1-9]\d?(,\d{2})+,\d{3}(\.\d*)?)", re.ASCII
)
_GROUPED_BY_POINTS = re.compile(r"[+-]?([1-9]\d{0,2}(\.\d{3})+,\d*|[1-9]\d{0,2}(\.\d{3}){2,})", re.ASCII)
_GROUPED_BY_BLANKS = re.compile(r"[+-]?[1-9]\d{0,2}([ \u00a0\u202f'\u2019])\d{3}(\1\d{3})*([.,]\d+)?", re.ASCII)
_ONE_SIGN = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)

# Each form with the replacement of its signs.
_FORMS = (
    (_GROUPED_BY_COMMAS, str.maketrans("", "", ",")),
    (_GROUPED_BY_POINTS, str.maketrans(",", ".", ".")),
    (_GROUPED_BY_BLANKS, str.maketrans(",", ".", " \u00a0\u202f'\u2019")),
    (_DECIMAL_COMMA, str.maketrans(",", ".")),
)

_MANY_TIMES = 100
"""So many numbers with one decimal sign outweigh one number with the other."""

# Numbers without a group: below the first limit all of them, above the second at least one. A column of grouped
# numbers has both, and a column of fractions up to 100 with three decimals does not.
_LEAST_GROUPED, _LEAST_TELLING = 1_000, 100

# Six digits survive the conversion to single precision and back; fewer than eight digits are no noise.
_MAX_KEPT_DIGITS, _MIN_NOISY_DIGITS = 6, 8
_NOISY_RANGE = (1e-4, 1e6)


@dataclass(frozen=True, slots=True)
class DecimalSign:
    """How to read numbers with a single comma or point that exactly three digits follow.

    `comma`, `point`: True where `1,234` or `1.234` has decimals; False where it is above a thousand; None where this is
    not known.
    """

    comma: bool | None
    point: bool | None


AS_PROGRAMS_WRITE = DecimalSign(comma=None, point=True)
"""Used where nothing is known of the column: programs write a decimal point and no separators."""
POINT = DecimalSign(comma=False, point=True)
COMMA = DecimalSign(comma=True, point=False)
_UNCLEAR = DecimalSign(comma=None, point=None)

DECIMAL_SIGNS: Mapping[str, DecimalSign] = {".": POINT, ",": COMMA}
"""The signs that a user can state with `--decimal`."""


def is_plain(text: str) -> bool:
    """Whether `float` reads the text as the number that is written: `-1.5e3`, but not `1_000`, `nan` or `0x1`."""
    return _PLAIN.fullmatch(text) is not None


def is_integer(text: str) -> bool:
    """Whether the text is an integer: digits, perhaps with a sign before them."""
    return _INTEGER.fullmatch(text) is not None


def rough_number(text: str) -> float | None:
    """Return the number with its only comma or point taken for the decimal sign; None for any other text.

    It serves to judge samples of a column before its decimal sign is known: `1,234` may be above a thousand.
    """
    return float(text.replace(",", ".")) if _ONE_SIGN.fullmatch(text) else None


def is_unclear(text: str, sign: DecimalSign) -> bool:
    """Whether the text is a number that `sign` leaves open."""
    return (sign.comma is None and _ONE_COMMA.fullmatch(text) is not None) or (
        sign.point is None and _ONE_POINT.fullmatch(text) is not None
    )


def is_grouped_by_blanks(text: str) -> bool:
    """Whether blanks or apostrophes separate thousands."""
    return _GROUPED_BY_BLANKS.fullmatch(text) is not None


def plain_form(text: str, sign: DecimalSign = AS_PROGRAMS_WRITE) -> str | None:
    """Return the number in a form that `float` reads; None where the text is not a number, or `is_unclear`."""
    text = text.replace("\u2212", "-")
    if is_unclear(text, sign):
        return None
    if _ONE_POINT.fullmatch(text) and not sign.point:
        return text.replace(".", "")
    if _ONE_COMMA.fullmatch(text) and not sign.comma:
        return text.replace(",", "")
    if is_plain(text):
        return text
    return next((text.translate(signs) for form, signs in _FORMS if form.fullmatch(text)), None)


class DecimalEvidence:
    """Finds the decimal sign of a column.

    Numbers of which only one reading is possible decide, as long as they agree or one sign is a hundred times as
    frequent as the other. A column without any of them that holds `1,234` is read as thousands where its other numbers
    are whole, below 1,000 and not all below 100; otherwise it stays undecided.
    """

    def __init__(self) -> None:
        self._n_points = 0
        self._n_commas = 0
        self._n_texts = self._n_unclear = 0
        self._largest = 0
        self.example: str | None = None
        """A number of the kind `1,234`; None where there is none."""

    def add(self, counts: Mapping[str, int]) -> None:
        """`counts`: how often each text occurs; texts that are not numbers are ignored."""
        for text, count in counts.items():
            self._n_texts += count
            if text.isdecimal():
                self._largest = max(self._largest, int(text[:5]))  # more digits do not matter
            elif _ONE_COMMA.fullmatch(text):
                self._n_unclear += count
                self.example = self.example or text
            elif is_plain(text):
                self._n_points += count * ("." in text and _ONE_POINT.fullmatch(text) is None)
            elif _GROUPED_BY_BLANKS.fullmatch(text):
                self._n_points += count * ("." in text)
                self._n_commas += count * ("," in text)
            elif _GROUPED_BY_COMMAS.fullmatch(text):
                self._n_points += count
            elif _GROUPED_BY_POINTS.fullmatch(text) or _DECIMAL_COMMA.fullmatch(text):
                self._n_commas += count

    @property
    def is_undecided(self) -> bool:
        """Whether there are numbers of the kind `1,234` that cannot be read."""
        return self.example is not None and self.sign.comma is None

    @property
    def share_undecided(self) -> float:
        """The share of texts of the kind `1,234`."""
        return self._n_unclear / max(1, self._n_texts)

    @property
    def sign(self) -> DecimalSign:
        fewer, more = sorted([self._n_points, self._n_commas])
        if fewer * _MANY_TIMES > more:
            return _UNCLEAR
        if more:
            return POINT if self._n_points == more else COMMA
        is_grouped = self.example is not None and _LEAST_TELLING < self._largest < _LEAST_GROUPED
        return POINT if is_grouped else AS_PROGRAMS_WRITE


def without_float32_noise(number: float) -> float:
    """Return the decimal number of at most six digits whose single precision `number` is: 4.400000095367432 is 4.4.

    Any other number is returned as it is. `number` may be cut to fewer digits, as in 3.5999999.
    """
    low, high = _NOISY_RANGE
    if not low <= abs(number) < high or number.is_integer():
        return number
    digits = repr(number)
    decimals = len(digits.partition(".")[2])
    if len(digits.strip("-0").replace(".", "")) < _MIN_NOISY_DIGITS or "e" in digits:
        return number
    single = np.float32(number)
    # The shortest decimal number of this single precision.
    short = str(single)
    is_kept = len(short.strip("-0").replace(".", "").lstrip("0")) <= _MAX_KEPT_DIGITS
    return float(short) if is_kept and round(float(single), decimals) == number else number
