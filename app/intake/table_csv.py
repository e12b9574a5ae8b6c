"""One kind of stored entities as a CSV file that is sent while it is read, with the columns and rows of an export."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from app.intake.export_rows import (
    TEXT_NAMES,
    event_row,
    event_type_row,
    marked_item_row,
    placement_row,
    rating_rows,
    user_row,
)
from app.intake.exporting import COLUMNS
from app.intake.files.spreadsheet_cells import mark
from app.intake.files.table_writers import Format
from app.store import Store

ROWS_AT_ONCE = 1_000

Rows = Iterator[Sequence[Any]]

TABLES: Mapping[str, Callable[[Store], Rows]] = {
    "ratings": lambda store: (row for chunk in store.ratings.stream() for row in rating_rows(chunk, Format.CSV)),
    "events": lambda store: (event_row(each, Format.CSV) for each in store.events.stream()),
    "items": lambda store: (marked_item_row(*each, Format.CSV) for each in store.items.stream_marked()),
    "users": lambda store: (user_row(each, Format.CSV) for each in store.users.stream()),
    "event_types": lambda store: (event_type_row(each, Format.CSV) for each in store.events.types().values()),
    "placements": lambda store: (placement_row(*each, Format.CSV) for each in store.placements.all().items()),
}


def table_csv(table: str, store: Store, *, is_marked: bool) -> Iterator[bytes]:
    """Yield the CSV of a table in parts, the first of which begins with the names of its columns.

    `is_marked`: whether text that a spreadsheet would run as a formula is marked.
    """
    names = COLUMNS[table]
    texts = {place for place, name in enumerate(names) if is_marked and name in TEXT_NAMES}
    rows: Rows = TABLES[table](store)
    part: list[Sequence[Any]] = [names]
    while part:
        lines = io.StringIO()
        marked = (
            [mark(cell) if place in texts and isinstance(cell, str) else cell for place, cell in enumerate(row)]
            for row in part
        )
        csv.writer(lines, lineterminator="\n").writerows(marked)
        yield lines.getvalue().encode(errors="backslashreplace")
        part = list(islice(rows, ROWS_AT_ONCE))
