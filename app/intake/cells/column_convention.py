"""Interfaces: the evidence of how a column is written, and the conversion of cells that follows from it."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from app.intake.blocks import Column
from app.intake.cells.values import MISSING, ValueCache

Convert = Callable[[Any], Any]
"""Converts a cell; a cell that it cannot convert is returned as it is, so that the reader of the field refuses it."""


class ColumnEvidence(Protocol):
    """What is known of one column."""

    def add(self, column: Column) -> None: ...

    @property
    def is_settled(self) -> bool:
        """Whether further values cannot change the convention."""

    def convention(self) -> Convert | None:
        """Return the conversion of the cells; None where they need none.

        Raises `InvalidInputError` where the convention has to be stated.
        """


class FixedConvention:
    """A column whose cells are converted without regard to the others; None converts nothing."""

    is_settled = True

    def __init__(self, convert: Convert | None = None) -> None:
        self._convert = convert

    def add(self, column: Column) -> None: ...

    def convention(self) -> Convert | None:
        return self._convert


def texts_of(column: Column) -> Counter[str]:
    """How often each text occurs that is not missing, without blanks around it."""
    counts = Counter(cell for cell in column if isinstance(cell, str))
    texts: Counter[str] = Counter()
    for cell, count in counts.items():
        texts[cell.strip()] += count
    for text in texts.keys() & MISSING:
        del texts[text]
    return texts


def of_texts(convert: Convert) -> Convert:
    """`convert` for cells of text, without blanks around them; other cells are returned."""
    return lambda cell: convert(cell.strip()) if isinstance(cell, str) else cell


def of_repeated_texts(convert: Convert) -> Convert:
    """As `of_texts`, for columns in which the same texts recur."""
    return of_texts(ValueCache(convert, frozenset({str})).convert_value)
