"""Tells a header from a first row of data, where the user names the columns in their order."""

from collections.abc import Sequence

from app.intake.cells.values import is_missing
from app.intake.column_names.columns import Naming
from app.intake.recognition.looks import NUMERIC_LOOKS, Look, look_of_value

_MIN_NUMBERED = 3
"""A shorter header of numbers cannot be told from the ids of a first row."""


def is_header(rows: Sequence[Sequence[str]], names: Sequence[str]) -> bool:
    """Whether the first of the first rows of a file is a header.

    It is one where it numbers the columns from 0, where a column of numbers, times or codes begins with something else,
    and where its cells are `names` or synonyms of them. `names`: the columns in Reckon.
    """
    first, following = rows[0], [row for row in rows[1:] if len(row) == len(names)]
    # A data frame without names writes 0, 1, 2, ... A user 0 of a data row would commonly have further rows.
    is_numbered = [cell.strip() for cell in first] == [str(number) for number in range(len(names))]
    if is_numbered and len(names) >= _MIN_NUMBERED and following and all(row[0] != first[0] for row in following):
        return True
    columns = list(zip(first, *following, strict=False))
    if any(_begins_otherwise(cells[0], cells[1:]) for cells in columns):
        return True
    ours = Naming().of(first)
    return any(ours[cell] == name != cell for cell, name in zip(first, names, strict=False)) or list(first) == list(
        names
    )


def _begins_otherwise(first: str, following: Sequence[str]) -> bool:
    types = {_type_of(cell) for cell in following if not is_missing(cell)}
    return len(types) == 1 and Look.TEXT not in types and not is_missing(first) and _type_of(first) not in types


def _type_of(cell: str) -> Look:
    look = look_of_value(cell)
    # Numbers of all sizes are one type, compact dates and epochs among them.
    if look in NUMERIC_LOOKS or cell.strip().isdecimal():
        return Look.NUMBER
    return {Look.ACTION: Look.TEXT, Look.EMAIL: Look.TEXT, Look.DATE: Look.MOMENT}.get(look, look)
