"""Access to the catalogue by the names in an expression. Every mask is a new (n,) bool array, by row."""

import re
from collections.abc import Callable, Collection, Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from app.entities import ITEM_FIELDS
from app.serving.catalogue import (
    Catalogue,
    FieldColumn,
    FlagColumn,
    Mask,
    NumberColumn,
    SetColumn,
    TextColumn,
    TimeColumn,
)
from app.serving.expressions.fields import FIELDS, Kind
from app.serving.expressions.syntax import FieldReference

_KINDS: dict[type, Kind] = {NumberColumn: "number", FlagColumn: "flag", TextColumn: "text", SetColumn: "set"}
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

Numbers = NDArray[np.float64]
Times = NDArray[np.int64]

ITEM_ID = FieldReference("item_id", is_attribute=False)
TITLE = FieldReference("title", is_attribute=False)
IS_AVAILABLE = FieldReference("is_available", is_attribute=False)


def holds_ids(column: FieldReference) -> bool:
    """Whether the column's texts are ids, which differ by case."""
    return column == ITEM_ID or (not column.is_attribute and ITEM_FIELDS[column.name].kind == "id")


class ItemTable:
    """The rows that the catalogue has at construction; later ones are not seen."""

    def __init__(self, catalogue: Catalogue, now: int) -> None:
        """`now`: microseconds UTC, the clock of the request."""
        self.now = now
        self._catalogue = catalogue
        self.n_rows = len(catalogue)

    @property
    def attribute_names(self) -> list[str]:
        return sorted(self._catalogue.attributes)

    def kinds(self, column: FieldReference) -> set[Kind]:
        """The kinds of the column's values; empty for an unknown attribute."""
        if column.is_attribute:
            return {_KINDS[type(kept)] for kept in self._kept(column)}
        return {FIELDS[column.name]}

    def _kept(self, column: FieldReference) -> tuple[FieldColumn, ...]:
        """The column of a field, or those of an attribute, one for each kind; empty for the fields kept otherwise."""
        if column.is_attribute:
            return self._catalogue.attributes.of(column.name)
        kept = self._catalogue.field(column.name)
        return () if kept is None else (kept,)

    def _texts_by_row(self, column: FieldReference) -> list[str] | list[str | None]:
        """The texts of the id or the title, which have no vocabulary; empty for any other column."""
        if column == ITEM_ID:
            return self._catalogue.item_ids
        return self._catalogue.titles if column == TITLE else []

    def none(self) -> Mask:
        return np.zeros(self.n_rows, np.bool_)

    def numbers(self, column: FieldReference, test: Callable[[Numbers], Mask]) -> Mask:
        """Rows whose number passes."""
        mask = self.none()
        for kept in self._kept(column):
            if isinstance(kept, NumberColumn):
                mask |= _passing(kept.cells.buffer[: self.n_rows], test)
            elif isinstance(kept, TextColumn):
                mask |= kept.by_text(lambda texts: _passing(_as_numbers(texts), test))[: self.n_rows]
        return mask

    def has_numbers(self, column: FieldReference) -> bool:
        """Whether the column holds numbers, or texts written as numbers."""
        texts = [kept.vocabulary.texts for kept in self._kept(column) if isinstance(kept, TextColumn)]
        return "number" in self.kinds(column) or any(_NUMBER.fullmatch(text) for some in texts for text in some)

    def times(self, column: FieldReference, test: Callable[[Times], Mask]) -> Mask:
        """Rows whose time, in microseconds UTC, is known and passes."""
        mask = self.none()
        for kept in self._kept(column):
            if isinstance(kept, TimeColumn):
                mask |= (kept.is_known() & test(kept.cells.buffer))[: self.n_rows]
        return mask

    def flags(self, column: FieldReference, *, value: bool) -> Mask:
        if column == IS_AVAILABLE:
            available = self._catalogue.available(self.now)[: self.n_rows]
            return available.copy() if value else ~available
        mask = self.none()
        for kept in self._kept(column):
            if isinstance(kept, FlagColumn):
                mask |= kept.cells.buffer[: self.n_rows] == value
        return mask

    def texts_among(self, column: FieldReference, texts: Collection[str]) -> Mask:
        """Rows whose text is one of these, whatever the case; ids are compared as they are."""
        mask = self.none()
        if column == ITEM_ID:
            rows = self._catalogue.rows_of_ids([*texts])
            mask[rows[rows < self.n_rows]] = True
        else:
            wanted = {text.casefold() for text in texts}
            self._mark(mask, self._texts_by_row(column), lambda text: text.casefold() in wanted)
        for kept in self._kept(column):
            if isinstance(kept, TextColumn):
                mask |= (kept.among(texts) if holds_ids(column) else kept.among_alike(texts))[: self.n_rows]
        return mask

    def texts(self, column: FieldReference, test: Callable[[str], bool]) -> Mask:
        """Rows whose text passes, each text tested once."""
        mask = self.none()
        self._mark(mask, self._texts_by_row(column), test)
        for kept in self._kept(column):
            if isinstance(kept, TextColumn):
                mask |= kept.by_text(lambda texts: _tested(texts, test))[: self.n_rows]
        return mask

    def _mark(self, mask: Mask, texts: list[str] | list[str | None], test: Callable[[str], bool]) -> None:
        """Mark the rows whose own text passes; `texts` by row, or none at all."""
        if texts:
            passing = (text is not None and test(text) for text in islice(texts, self.n_rows))
            mask |= np.fromiter(passing, np.bool_, self.n_rows)

    def sets_with(self, column: FieldReference, texts: Iterable[str]) -> Mask:
        """Rows whose set holds any of the texts, whatever the case."""
        mask = self.none()
        for kept in self._kept(column):
            if isinstance(kept, SetColumn):
                mask |= kept.having(*texts)[: self.n_rows]
        return mask

    def known(self, column: FieldReference) -> Mask:
        """Rows that have a value; the id and the availability are always known."""
        mask = self.none()
        if column in {ITEM_ID, IS_AVAILABLE}:
            mask[:] = True
        else:
            self._mark(mask, self._texts_by_row(column), lambda _: True)
        for kept in self._kept(column):
            mask |= kept.is_known()[: self.n_rows]
        return mask


def _passing(numbers: Numbers, test: Callable[[Numbers], Mask]) -> Mask:
    passing = test(numbers)
    passing &= numbers == numbers  # noqa: PLR0124  NaN means missing, and is not equal to itself
    return passing


def _as_numbers(texts: list[str]) -> Numbers:
    return np.array([float(text) if _NUMBER.fullmatch(text) else np.nan for text in texts], np.float64)


def _tested(texts: list[str], test: Callable[[str], bool]) -> Mask:
    passing = np.fromiter(map(test, texts), np.bool_, len(texts))
    passing[0] = False  # code 0 means no text
    return passing
