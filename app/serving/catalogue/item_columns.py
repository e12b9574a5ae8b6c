"""All that is kept of the items, by column."""

from typing import Any

import numpy as np

from app.entities import UNKNOWN_TIME
from app.serving.catalogue.attributes import Attributes
from app.serving.catalogue.cells import Cells
from app.serving.catalogue.columns import NumberColumn, SetColumn, TextColumn
from app.serving.rows import Rows
from app.store.items import NEVER, CatalogueColumns


class ItemColumns:
    """Equal lengths n, the cells with spare room. `added_at`, `until`: int64 microseconds UTC."""

    def __init__(self, n_rows: int) -> None:
        self.item_ids: list[str] = [""] * n_rows
        self.titles: list[str | None] = [None] * n_rows
        self.categories = SetColumn(n_rows)
        self.years = NumberColumn(n_rows)
        self.creators = TextColumn(n_rows)
        self.attributes = Attributes(n_rows)
        self.added_at = Cells.of(np.int64, UNKNOWN_TIME, n_rows)
        self.until = Cells.of(np.int64, NEVER, n_rows)
        self.available = Cells.of(np.bool_, 0, n_rows)

    def __len__(self) -> int:
        return len(self.item_ids)

    def grow(self, n_rows: int) -> None:
        n_new = n_rows - len(self)
        self.item_ids += [""] * n_new
        self.titles += [None] * n_new
        for cells in self._cells():
            cells.grow(n_rows)
        self.attributes.grow(n_rows)

    def _cells(self) -> "tuple[Cells[Any], ...]":
        columns = (self.categories, self.years, self.creators)
        return (*(column.cells for column in columns), self.added_at, self.until, self.available)

    def write(self, rows: Rows, part: CatalogueColumns) -> None:
        """Let the (n,) rows be these items."""
        for row, item_id, title in zip(rows.tolist(), part.item_id, part.title, strict=True):
            self.item_ids[row] = item_id
            self.titles[row] = title
        self.categories.cells.buffer[rows] = self.categories.encode(part.categories)
        self.years.cells.buffer[rows] = part.year
        self.creators.cells.buffer[rows] = self.creators.encode(part.created_by)
        self.attributes.write(rows, part.attributes)
        self.added_at.buffer[rows] = part.added_at
        self.until.buffer[rows] = part.available_until
        self.available.buffer[rows] = part.is_available

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
        taken.categories = self.categories.taken(rows)
        taken.years = self.years.taken(rows)
        taken.creators = self.creators.taken(rows)
        taken.attributes = self.attributes.taken(rows)
        taken.added_at = self.added_at.taken(rows)
        taken.until = self.until.taken(rows)
        taken.available = self.available.taken(rows)
        return taken

    def compact(self) -> None:
        self.categories = self.categories.compacted()
        self.creators = self.creators.compacted()
        self.attributes.compact()
