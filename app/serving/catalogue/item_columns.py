"""All that is kept of the items, by column."""

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from app.entities import ITEM_FIELDS, ItemField
from app.serving.catalogue.attributes import Attributes
from app.serving.catalogue.cells import Cells
from app.serving.catalogue.columns import CodedColumn, FlagColumn, NumberColumn, SetColumn, TextColumn, TimeColumn
from app.serving.rows import Rows
from app.store.items import CatalogueColumns

FieldColumn = NumberColumn | FlagColumn | TextColumn | SetColumn | TimeColumn
KindOfColumn = TypeVar("KindOfColumn", NumberColumn, FlagColumn, TextColumn, SetColumn, TimeColumn)

# Titles differ from item to item, so a vocabulary would only add to them; answers read them by row. Availability
# changes without a write, when an item expires.
_KEPT_OTHERWISE = frozenset({"title", "is_available", "attributes"})
_FIELDS = {
    name: declared for name, declared in ITEM_FIELDS.items() if declared.is_filterable and name not in _KEPT_OTHERWISE
}


def _column_of(declared: ItemField, n_rows: int) -> FieldColumn:
    match declared.kind:
        case "integer" | "number":
            return NumberColumn(n_rows)
        case "flag":
            return FlagColumn(n_rows)
        case "time":
            return TimeColumn(n_rows, declared.missing_time)
        case "texts":
            return SetColumn(n_rows)
        case _:
            return TextColumn(n_rows)


class ItemColumns:
    """Equal lengths n, the cells with spare room.

    `available`: bool, whether the item may be shown now, as far as its expiry was looked at. `is_bare`: bool, whether
    the item is known from ratings and events alone; also true of items that are gone. `added_at` and the columns
    after it: those of the fields that answers read by name.
    """

    added_at: TimeColumn
    available_until: TimeColumn
    categories: SetColumn
    created_by: TextColumn

    def __init__(self, n_rows: int) -> None:
        self.item_ids: list[str] = [""] * n_rows
        self.titles: list[str | None] = [None] * n_rows
        self.attributes = Attributes(n_rows)
        self.available = Cells.all_missing(np.bool_, 0, n_rows)
        self.is_bare = Cells.all_missing(np.bool_, 1, n_rows)
        self._fields: dict[str, FieldColumn] = {
            name: _column_of(declared, n_rows) for name, declared in _FIELDS.items()
        }
        self._name_columns()

    def __len__(self) -> int:
        return len(self.item_ids)

    def get(self, name: str) -> FieldColumn | None:
        """The column of a field; None for an unknown one, and for those that have an attribute of their own here."""
        return self._fields.get(name)

    def _name_columns(self) -> None:
        # Attributes and not properties, since a request reads them a dozen times; set anew where columns are replaced.
        self.added_at = self._of_kind("added_at", TimeColumn)
        self.available_until = self._of_kind("available_until", TimeColumn)
        self.categories = self._of_kind("categories", SetColumn)
        self.created_by = self._of_kind("created_by", TextColumn)

    def _of_kind(self, name: str, kind: type[KindOfColumn]) -> KindOfColumn:
        """The column of a field that is known to be of this kind."""
        column = self._fields[name]
        if not isinstance(column, kind):
            raise TypeError(f"{name} is kept in a {type(column).__name__}")
        return column

    def grow(self, n_rows: int) -> None:
        # In place, because the catalogue holds these two lists, too.
        n_new = n_rows - len(self)
        self.item_ids += [""] * n_new
        self.titles += [None] * n_new
        for cells in self._cells():
            cells.grow(n_rows)
        self.attributes.grow(n_rows)

    def _cells(self) -> Iterator[Cells[Any]]:
        yield from (column.cells for column in self._fields.values())
        yield self.available
        yield self.is_bare

    def write(self, rows: Rows, part: CatalogueColumns) -> None:
        """Let the (n,) rows be these items."""
        for row, item_id, title in zip(rows.tolist(), part.item_id, part.fields["title"], strict=True):
            self.item_ids[row] = item_id
            self.titles[row] = title
        for name, column in self._fields.items():
            column.cells.buffer[rows] = column.encode(part.fields[name])
        self.attributes.write(rows, part.fields["attributes"])
        self.available.buffer[rows] = part.fields["is_available"]
        self.is_bare.buffer[rows] = part.is_bare

    def clear(self, rows: Rows) -> None:
        """Let the rows be items that are gone: id and title stay, for answers that are under way."""
        self.available.buffer[rows] = False
        for cells in self._cells():
            cells.buffer[rows] = cells.missing
        self.attributes.write(rows, [{}] * len(rows))

    def taken(self, rows: Rows) -> "ItemColumns":
        """Those of other rows, see `Cells.taken`."""
        taken = ItemColumns(0)
        places = rows.tolist()
        taken.item_ids = ["" if row < 0 else self.item_ids[row] for row in places]
        taken.titles = [None if row < 0 else self.titles[row] for row in places]
        taken._fields = {name: column.taken(rows) for name, column in self._fields.items()}
        taken._name_columns()
        taken.attributes = self.attributes.taken(rows)
        taken.available = self.available.taken(rows)
        taken.is_bare = self.is_bare.taken(rows)
        return taken

    def compact(self) -> None:
        for name, column in self._fields.items():
            if isinstance(column, CodedColumn):
                self._fields[name] = column.compacted()
        self._name_columns()
        self.attributes.compact()
