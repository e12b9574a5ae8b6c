"""Rejected rows as a file for a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from app.intake.files.spreadsheet_cells import mark
from app.store.imports import KeptRow

NAMES = ("file", "line", "field", "reason", "row")


def rejected_csv(pages: Iterable[Sequence[KeptRow]]) -> Iterator[str]:
    """Yield the CSV in parts, the first of which holds the names of the columns.

    Text that a spreadsheet would run as a formula is marked, as in an export for spreadsheets.
    """
    yield _lines([NAMES])
    for page in pages:
        yield _lines(
            [mark(row.file), str(row.line), mark(row.field or ""), mark(row.reason), mark(row.text)] for row in page
        )


def _lines(rows: Iterable[Sequence[str]]) -> str:
    lines = io.StringIO()
    # With all fields quoted, a lone carriage return ends no row.
    csv.writer(lines, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    return lines.getvalue()
