"""The values of one field or attribute for every row, by kind: numbers, flags, times, texts, sets of texts."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue.cells import Cells, Mask, Scalar
from app.serving.catalogue.packed_texts import PackedTexts
from app.serving.catalogue.vocabularies import Codes, SetVocabulary, Vocabulary
from app.serving.rows import Rows

UNKNOWN_FLAG = -1
ROOM_FOR_UNUSED = 10_000
Value = TypeVar("Value")


class Column(ABC, Generic[Value, Scalar]):
    """Values of one kind; each subclass says what its `cells` hold, and what stands for a missing value."""

    cells: Cells[Scalar]

    @abstractmethod
    def encode(self, values: Sequence[Value | None]) -> NDArray[Scalar]:
        """(n,) cells for the values; None becomes the missing value."""

    @abstractmethod
    def is_known(self) -> Mask:
        """Which cells are not missing."""

    def taken(self, rows: Rows) -> Self:
        """The column of other rows, see `Cells.taken`; the two share no cells."""
        column = copy(self)
        column.cells = self.cells.taken(rows)
        return column


class NumberColumn(Column[float, np.float64]):
    """Cells float64, NaN where not known."""

    def __init__(self, n_rows: int) -> None:
        self.cells = Cells.all_missing(np.float64, np.nan, n_rows)

    def encode(self, values: Sequence[float | None]) -> NDArray[np.float64]:
        return np.array(values, np.float64)

    def is_known(self) -> Mask:
        return ~np.isnan(self.cells.buffer)


class FlagColumn(Column[bool, np.int8]):
    """Cells int8, 0 and 1, `UNKNOWN_FLAG` where not known."""

    def __init__(self, n_rows: int) -> None:
        self.cells = Cells.all_missing(np.int8, UNKNOWN_FLAG, n_rows)

    def encode(self, values: Sequence[bool | None]) -> NDArray[np.int8]:
        return np.array([UNKNOWN_FLAG if value is None else value for value in values], np.int8)

    def is_known(self) -> Mask:
        known: Mask = self.cells.buffer != UNKNOWN_FLAG
        return known


class TimeColumn(Column[int, np.int64]):
    """Cells int64 microseconds UTC; `missing` where there is no time.

    `encode` takes times as the store gives them, with `missing` in place of None: a loop over a million costs 50 ms.
    """

    def __init__(self, n_rows: int, missing: int) -> None:
        self.cells = Cells.all_missing(np.int64, missing, n_rows)

    def encode(self, values: Sequence[int | None]) -> NDArray[np.int64]:
        return np.asarray(values, np.int64)

    def is_known(self) -> Mask:
        known: Mask = self.cells.buffer != self.cells.missing
        return known


class CodedColumn(Column[Value, np.int32]):
    """Cells int32, codes of `vocabulary`; 0 where not known."""

    vocabulary: Vocabulary | SetVocabulary

    def is_known(self) -> Mask:
        known: Mask = self.cells.buffer != 0
        return known

    def by_code(self, table: Callable[[int], NDArray[Scalar]]) -> NDArray[Scalar]:
        """(n,) `table(n_codes)[code]` of every row; the table may be longer."""
        # Readers hold no lock: a writer may add codes between the two reads, and then the table is made again.
        while True:
            n_codes = len(self.vocabulary)
            values = np.take(table(n_codes), self.cells.buffer, mode="clip")  # in the mode "raise", half as fast
            if len(self.vocabulary) == n_codes:  # otherwise a cell may hold a code beyond the table
                return values

    def compacted(self) -> Self:
        """A copy without the entries of the vocabulary that no row uses, if most are unused; else the column itself."""
        if self.vocabulary.n_texts <= 2 * len(self.cells.buffer) + ROOM_FOR_UNUSED:
            return self
        # The missing value is put in front, so that code 0 stays the code of no value.
        used, codes = np.unique(np.append(self.cells.missing, self.cells.buffer), return_inverse=True)
        column = copy(self)
        column.vocabulary = self.vocabulary.kept(used[1:])
        column.cells = Cells(codes[1:].astype(np.int32), self.cells.missing)
        return column


class TextColumn(CodedColumn[str]):
    vocabulary: Vocabulary

    def __init__(self, n_rows: int) -> None:
        self.cells = Cells.all_missing(np.int32, 0, n_rows)
        self.vocabulary = Vocabulary()

    def encode(self, values: Sequence[str | None]) -> Codes:
        return self.vocabulary.codes(values)

    def passing(self, test: Callable[[PackedTexts], Mask], *, is_casefolded: bool) -> Mask:
        """(n,) mask of the rows whose text passes `test`, which takes all texts and returns a mask of them."""
        return self.by_code(lambda n_codes: test(self.vocabulary.packed(n_codes, is_casefolded=is_casefolded)))

    def numbers(self) -> NDArray[np.float64]:
        """(n,) the numbers of the rows whose text is written as one, NaN for the others."""
        return self.by_code(self.vocabulary.numbers)

    def among(self, texts: Iterable[str]) -> Mask:
        """(n,) mask of the rows whose text is one of these."""
        return self._coded([code for text in texts if (code := self.vocabulary.find(text))])

    def among_alike(self, texts: Iterable[str]) -> Mask:
        """(n,) mask of the rows whose text is one of these whatever the case."""
        return self._coded([code for text in texts for code in self.vocabulary.alike(text)])

    def _coded(self, codes: list[int]) -> Mask:
        if len(codes) > 1:
            return self.by_code(lambda n_codes: _marked(codes, n_codes))
        mask: Mask = self.cells.buffer == (codes[0] if codes else -1)
        return mask


class SetColumn(CodedColumn[tuple[str, ...]]):
    """The empty set counts as not known."""

    vocabulary: SetVocabulary

    def __init__(self, n_rows: int) -> None:
        self.cells = Cells.all_missing(np.int32, 0, n_rows)
        self.vocabulary = SetVocabulary()

    def encode(self, values: Sequence[tuple[str, ...] | None]) -> Codes:
        return self.vocabulary.codes(values)

    def having(self, *elements: str) -> Mask:
        """(n,) mask of the rows whose set has any of the elements, whatever their case."""
        codes = [code for element in elements for code in self.vocabulary.elements.alike(element)]
        if not codes:
            return np.zeros(len(self.cells.buffer), np.bool_)
        return self.by_code(lambda n_sets: self.vocabulary.having(codes, n_sets))


def _marked(codes: list[int], n_codes: int) -> Mask:
    is_marked = np.zeros(n_codes, np.bool_)
    is_marked[codes] = True
    return is_marked
