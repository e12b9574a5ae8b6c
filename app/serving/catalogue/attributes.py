"""The attributes of the items: columns by name and kind."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.entities import AttributeValue
from app.serving.catalogue.columns import CodedColumn, FlagColumn, NumberColumn, SetColumn, TextColumn
from app.serving.rows import Rows

MAX_ATTRIBUTES = 256
"""The first so many names get columns; each column takes 1 to 8 bytes a row."""

MAX_TEXT = 200
"""Longer texts are not kept: they are descriptions, not values to filter by."""

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

    def __iter__(self) -> Iterator[str]:
        """All names that have a column."""
        return iter(list(self._columns))

    def of(self, name: str) -> tuple[AnyColumn, ...]:
        """The columns of a name, one for each kind; empty for an unknown name."""
        return self._columns.get(name, ())

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
                given[name, kind] = _prepared(kind, of_kind)
        return given

    def taken(self, rows: Rows) -> "Attributes":
        """The attributes of other rows, see `Cells.taken`; names without a value in any of them are left out."""
        taken = Attributes(len(rows))
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
