"""The attributes of the items: columns by name and kind."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.entities import AttributeValue
from app.serving.catalogue.columns import (
    UNKNOWN_FLAG,
    CodedColumn,
    FlagColumn,
    NumberColumn,
    SetColumn,
    TextColumn,
)
from app.serving.rows import Rows

MAX_ATTRIBUTES = 256
"""The first so many names get columns; each column takes 1 to 8 bytes a row."""

MAX_TEXT = 200
"""Longer texts are not kept: they are descriptions, not values to filter by."""

MAX_EXACT = 2**53
"""A column of numbers holds every whole number up to here exactly."""

AnyColumn = NumberColumn | FlagColumn | TextColumn | SetColumn
ColumnName = tuple[str, type[AnyColumn]]
_COLUMNS: dict[type, type[AnyColumn]] = {
    int: NumberColumn,
    float: NumberColumn,
    bool: FlagColumn,
    str: TextColumn,
    list: SetColumn,
}


class Attributes:
    """For each name, one column for each kind of value that occurs.

    Items need not agree on the kind of an attribute: a value is kept in the column of its kind, and is missing in the
    others. So an item with the price "on request" does not affect those whose price is a number.
    """

    def __init__(self, n_rows: int = 0) -> None:
        self._n_rows = n_rows
        self._columns: dict[str, tuple[AnyColumn, ...]] = {}
        # What an answer needs to know: whether the columns of a name hold its values exactly as they were given.
        self._changed: set[str] = set()
        self._number_types: dict[str, type] = {}
        self._lacks_names = False

    def __iter__(self) -> Iterator[str]:
        """All names that have a column."""
        return iter(list(self._columns))

    def of(self, name: str) -> tuple[AnyColumn, ...]:
        """The columns of a name, one for each kind; empty for an unknown name."""
        return self._columns.get(name, ())

    def values(self, name: str, rows: Rows) -> list[AttributeValue | None] | None:
        """(n,) the values of (n,) rows as they were given, None where a row has none.

        None in place of the list if the columns hold some values of this name in another form: a text too long, a list
        that is empty or has a text twice, whole numbers written both as 12 and as 12.0.
        """
        columns = self.of(name)
        if name in self._changed or (not columns and self._lacks_names):
            return None
        decoded = [_decoded(column, rows, is_whole=self._number_types.get(name) is int) for column in columns]
        if len(decoded) == 1:
            return decoded[0]
        # An item has a value of one kind at most.
        by_row = zip(*decoded, strict=True) if decoded else [()] * len(rows)
        return [next((value for value in each if value is not None), None) for each in by_row]

    def grow(self, n_rows: int) -> None:
        self._n_rows = max(n_rows, self._n_rows)
        for column in self._all():
            column.cells.grow(n_rows)

    def write(self, rows: Rows, attributes: Sequence[Mapping[str, AttributeValue]]) -> None:
        """Replaces all attributes of the (n,) rows."""
        given = self._by_column(attributes)
        for name, kind in given:
            if not any(isinstance(column, kind) for column in self.of(name)):
                # A new dict: adding to the old one would break the iteration of a reader in another thread.
                self._columns = {**self._columns, name: (*self.of(name), kind(self._n_rows))}
        for name, columns in self._columns.items():
            for column in columns:
                values = given.get((name, type(column)))
                column.cells.buffer[rows] = column.cells.missing if values is None else column.encode(values)

    def _by_column(self, attributes: Sequence[Mapping[str, AttributeValue]]) -> dict[ColumnName, list[Any]]:
        """For each name and kind (n,) values, None where a row has none."""
        by_name: dict[str, list[Any]] = {}
        n_columns = len(self._columns)
        for place, row in enumerate(attributes):
            for name, value in row.items():
                if name not in by_name:
                    if name not in self._columns and n_columns >= MAX_ATTRIBUTES:
                        self._lacks_names = True
                        continue
                    n_columns += name not in self._columns
                    by_name[name] = [None] * len(attributes)
                by_name[name][place] = value
        given: dict[ColumnName, list[Any]] = {}
        for name, values in by_name.items():
            kinds = {_COLUMNS[kind] for kind in set(map(type, values)) - {type(None)}}
            for kind in kinds:
                of_kind = values
                if len(kinds) > 1:
                    of_kind = [
                        None if value is None or _COLUMNS[type(value)] is not kind else value for value in values
                    ]
                given[name, kind] = prepared = _prepared(kind, of_kind)
                if kind is NumberColumn:
                    self._note_numbers(name, of_kind)
                elif kind is not FlagColumn and name not in self._changed:
                    self._note_texts(name, of_kind, prepared)
        return given

    def _note_texts(self, name: str, values: list[Any], prepared: list[Any]) -> None:
        """Note whether a column cannot give these texts, or lists of texts, back."""
        pairs = zip(values, prepared, strict=True)
        if any(given is not None and not _is_kept(given, kept) for given, kept in pairs):
            self._changed.add(name)

    def _note_numbers(self, name: str, values: Sequence[float | None]) -> None:
        """Note whether a column cannot give these numbers back."""
        for value in values:
            # A fraction can only be a float. Of whole numbers, all are to be of one type.
            if value is None or (type(value) is float and not value.is_integer()):
                continue
            if self._number_types.setdefault(name, type(value)) is not type(value) or abs(value) > MAX_EXACT:
                self._changed.add(name)
                return

    def taken(self, rows: Rows) -> "Attributes":
        """The attributes of other rows, see `Cells.taken`; names without a value in any of them are left out."""
        taken = Attributes(len(rows))
        taken._changed, taken._lacks_names = set(self._changed), self._lacks_names
        taken._number_types = dict(self._number_types)
        for name, columns in self._columns.items():
            kept = tuple(column for column in (old.taken(rows) for old in columns) if column.is_known().any())
            if kept:
                taken._columns[name] = kept
        return taken

    def compact(self) -> None:
        for name, columns in self._columns.items():
            compacted = tuple(column.compacted() if isinstance(column, CodedColumn) else column for column in columns)
            if compacted != columns:
                self._columns = {**self._columns, name: compacted}

    def _all(self) -> Iterator[AnyColumn]:
        return (column for columns in self._columns.values() for column in columns)


def _prepared(kind: type[AnyColumn], values: list[Any]) -> list[Any]:
    """The values as columns take them: sets as tuples, and None for a text that is too long."""
    if kind is SetColumn:
        return [None if texts is None else tuple(text for text in texts if len(text) <= MAX_TEXT) for texts in values]
    if kind is TextColumn:
        return [None if text is None or len(text) > MAX_TEXT else text for text in values]
    return values


def _is_kept(given: str | list[str], kept: str | tuple[str, ...] | None) -> bool:
    """Whether a column gives a text or list back as it was; of a list, it keeps each text once, and no empty list."""
    if isinstance(given, str):
        return given == kept
    return 0 < len(given) == len(kept or ()) == len(set(given))


def _decoded(column: AnyColumn, rows: Rows, *, is_whole: bool) -> list[AttributeValue | None]:
    """The values of the cells of (n,) rows, None where missing. `is_whole`: whole numbers are of type int."""
    cells = column.cells.buffer[rows].tolist()
    match column:
        case NumberColumn():
            numbers = [None if number != number else number for number in cells]  # noqa: PLR0124  NaN
            if not is_whole:
                return numbers
            return [number if number is None or number % 1 else int(number) for number in numbers]
        case FlagColumn():
            return [None if flag == UNKNOWN_FLAG else bool(flag) for flag in cells]
        case TextColumn():
            return [column.vocabulary.texts[code] if code else None for code in cells]
        case SetColumn():
            sets, texts = column.vocabulary.sets, column.vocabulary.elements.texts
            return [[texts[element] for element in sets[code]] if code else None for code in cells]
