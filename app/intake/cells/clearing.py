r"""The cell that clears a field of an item or user, in files whose format has no null of its own.

An empty cell of CSV says nothing of a field, so another text must say that the field is to be cleared. It is `\N`, as
MySQL and the COPY of Postgres write NULL. A value that is this text itself has one more backslash in files.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping

from app.intake.blocks import Block, Column
from app.intake.cells.values import CLEARED, Verbatim

_ESCAPED = re.compile(r"\\+N")


def escape(text: str | None) -> str | None:
    """Return the cell of a file that stands for `text`; None for None."""
    return f"\\{text}" if text is not None and _is_marked(text) else text


def split_cleared(block: Block, id_name: str) -> tuple[Mapping[str, Column], Mapping[int, Collection[str]]]:
    r"""Return the columns with values and missing values alone, and by row the names of the columns to clear.

    A block whose format tells nulls from missing values clears by its nulls, any other by the cell `\N`. The column of
    the ids, `id_name`, is left as it is.
    """
    cleared: dict[int, list[str]] = defaultdict(list)
    columns = dict(block.columns)
    if block.nulls is None:
        marked = [name for name, column in columns.items() if name != id_name and _has_marks(column)]
        rows_of = {name: [row for row, cell in enumerate(columns[name]) if cell == CLEARED] for name in marked}
        columns |= {name: [_plain(cell) for cell in columns[name]] for name in marked}
    else:
        rows_of = {name: list(rows) for name, rows in block.nulls.items()}
    for name, rows in rows_of.items():
        for row in rows:
            cleared[row].append(name)
    return columns, cleared


def _has_marks(column: Column) -> bool:
    # A search of the joined texts is ten times as fast as a look at each.
    try:
        return CLEARED in "\n".join(column)
    except TypeError:  # the column holds other values besides text
        return any(map(_is_marked, column))


def _is_marked(cell: object) -> bool:
    return isinstance(cell, str) and cell.endswith(CLEARED) and _ESCAPED.fullmatch(cell) is not None


def _plain(cell: object) -> object:
    """The value of a cell: None where the cell clears."""
    if not isinstance(cell, str) or not _is_marked(cell):
        return cell
    # Without its backslash a value that is the mark itself would look like a missing one.
    return None if cell == CLEARED else Verbatim(cell[1:])
