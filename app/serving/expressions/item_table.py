"""Access to the catalogue by the names in an expression. Every mask is a new (n,) bool array, by row."""

from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from app.entities import ITEM_FIELDS
from app.serving.catalogue import (
    Catalogue,
    FieldColumn,
    FlagColumn,
    Mask,
    NumberColumn,
    PackedTexts,
    SetColumn,
    TextColumn,
    TimeColumn,
)
from app.serving.expressions.fields import FIELDS, Kind
from app.serving.expressions.syntax import FieldReference

_KINDS: dict[type, Kind] = {NumberColumn: "number", FlagColumn: "flag", TextColumn: "text", SetColumn: "set"}

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

    def none(self) -> Mask:
        return np.zeros(self.n_rows, np.bool_)

    def numbers(self, column: FieldReference, test: Callable[[Numbers], Mask]) -> Mask:
        """Rows whose number passes."""
        mask = self.none()
        for kept in self._kept(column):
            if isinstance(kept, NumberColumn):
                mask |= _passing(kept.cells.buffer[: self.n_rows], test)
            elif isinstance(kept, TextColumn):
                mask |= _passing(kept.numbers()[: self.n_rows], test)
        return mask

    def has_numbers(self, column: FieldReference) -> bool:
        """Whether the column holds numbers, or texts written as numbers."""
        return "number" in self.kinds(column) or any(
            not np.isnan(kept.vocabulary.numbers(len(kept.vocabulary))).all()
            for kept in self._kept(column)
            if isinstance(kept, TextColumn)
        )

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
        elif column == TITLE:
            titles = self._catalogue.packed("title", is_casefolded=True)
            mask |= titles.among({text.casefold() for text in texts})[: self.n_rows]
        for kept in self._kept(column):
            if isinstance(kept, TextColumn):
                mask |= (kept.among(texts) if holds_ids(column) else kept.among_alike(texts))[: self.n_rows]
        return mask

    def texts(self, column: FieldReference, test: Callable[[PackedTexts], Mask], *, is_casefolded: bool) -> Mask:
        """Rows whose text passes; `test` takes all texts and returns a mask of them."""
        mask = self.none()
        for passing in self._tested(column, test, is_casefolded=is_casefolded):
            mask |= passing[: self.n_rows]
        return mask

    def _tested(
        self, column: FieldReference, test: Callable[[PackedTexts], Mask], *, is_casefolded: bool
    ) -> Iterator[Mask]:
        # The id and the title have no vocabulary.
        if column == ITEM_ID:
            yield test(self._catalogue.packed("item_id", is_casefolded=is_casefolded))
        elif column == TITLE:
            yield test(self._catalogue.packed("title", is_casefolded=is_casefolded))
        for kept in self._kept(column):
            if isinstance(kept, TextColumn):
                yield kept.passing(test, is_casefolded=is_casefolded)

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
        elif column == TITLE:
            mask |= self._catalogue.packed("title", is_casefolded=True).is_known[: self.n_rows]
        for kept in self._kept(column):
            mask |= kept.is_known()[: self.n_rows]
        return mask


def _passing(numbers: Numbers, test: Callable[[Numbers], Mask]) -> Mask:
    passing = test(numbers)
    passing &= numbers == numbers  # noqa: PLR0124  NaN means missing, and is not equal to itself
    return passing
