"""Converts blocks to patches of items and users, row by row, because catalogues are small compared with the ratings.

A patch holds what its row names, so that an import changes nothing else. A missing value names nothing. A null of JSON
clears its field or removes its attribute, and so does the cell of `clearing` in CSV and Parquet, where a missing value
and a null are the same.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from app.entities import (
    ITEM_DEFAULTS,
    ITEM_FIELDS,
    USER_DEFAULTS,
    AttributeValue,
    ItemField,
    ItemFieldKind,
    Patch,
    clean_url,
)
from app.errors import InvalidInputError
from app.intake.blocks import Block, LeftOutCell, RejectedRow
from app.intake.cells.attributes import read_attributes, read_flag, read_list, read_object, read_text
from app.intake.cells.clearing import split_cleared
from app.intake.cells.number_texts import is_plain
from app.intake.cells.values import is_missing, quote, read_id, read_moment, read_number, read_written_number
from app.intake.column_names.columns import IGNORED_NAMES

BARE_MARK = "is_bare"
"""The column of an export that says of which items nothing but ratings and events is known."""
DELETED_MARK = "stays_deleted"
"""The column of an export that says which items are deleted, and known only from ratings and events that came later."""

Row = dict[str, Any]
Readers = Mapping[str, Callable[[Any], Any]]
"""Functions that convert a cell to the value of a field, by the name of the field."""
Refuse = Callable[[InvalidInputError], None]
"""Takes the error of a cell that is left out."""


@dataclass(frozen=True, slots=True)
class ReadPatches:
    """The patches of one block in its order, and the rows of the block that are rejected.

    `left_out`: cells that could not be read; their rows are among `patches`.
    """

    patches: list[Patch]
    rejected: list[RejectedRow]
    left_out: list[LeftOutCell]


def read_items(block: Block) -> ReadPatches:
    """Convert a block to patches of items.

    A row whose id, texts or flags are not valid is rejected with the field and the reason. Any other cell that is not
    valid is left out.
    """
    readers = {
        name: partial(_ITEM_READERS[declared.kind], name, declared)
        for name, declared in ITEM_FIELDS.items()
        if declared.kind != "attributes"
    }
    return _read(block, "item_id", readers, ITEM_DEFAULTS, frozenset({BARE_MARK, DELETED_MARK}))


def read_users(block: Block) -> ReadPatches:
    """Convert a block to patches of users, as `read_items` converts items."""
    return _read(block, "user_id", {"country": partial(read_text, field="country")}, USER_DEFAULTS)


def _read(
    block: Block, id_name: str, readers: Readers, defaults: Mapping[str, Any], marks: frozenset[str] = frozenset()
) -> ReadPatches:
    columns, cleared = split_cleared(block, id_name)
    known = frozenset({id_name, *defaults, *marks})
    # Only the columns of the block are read, so an absent column costs nothing per row.
    readers = {name: read for name, read in readers.items() if name in columns}
    has_attributes = "attributes" in columns or bool(columns.keys() - known - IGNORED_NAMES)
    is_marked, is_marked_deleted = (mark in columns and mark in marks for mark in (BARE_MARK, DELETED_MARK))
    patches, rejected, left_out = [], list(block.rejected), []
    for index, cells in enumerate(zip(*columns.values(), strict=True)):
        row, cleared_names = dict(zip(columns, cells, strict=True)), cleared.get(index, ())
        refused: list[InvalidInputError] = []
        try:
            stays_deleted = is_marked_deleted and read_flag(row[DELETED_MARK], DELETED_MARK, default=False)
            patch = Patch(
                read_id(row.get(id_name), id_name),
                _fields(row, readers, defaults, cleared_names, refused.append),
                _attributes(row, known, cleared_names, refused.append, has_nulls=block.nulls is not None)
                if has_attributes
                else {},
                keeps_bare=stays_deleted or (is_marked and read_flag(row[BARE_MARK], BARE_MARK, default=False)),
                stays_deleted=stays_deleted,
            )
        except InvalidInputError as error:
            rejected.append(block.reject(index, f"{error.field}: {error}"))
        else:
            patches.append(patch)
            left_out += [block.leave_out(index, error.field or "", str(error)) for error in refused]
    return ReadPatches(patches, rejected, left_out)


def _fields(
    row: Row, readers: Readers, defaults: Mapping[str, Any], cleared_names: Collection[str], refuse: Refuse
) -> dict[str, Any]:
    """The values of the fields that the row names, defaults for those to clear.

    Raises `InvalidInputError` for a cell that is not valid and without which the row is not imported.
    """
    fields = {name: defaults[name] for name in cleared_names if name in defaults}
    for name, read in readers.items():
        cell = row[name]
        if cell is None or cell == "":
            continue
        try:
            value = read(cell)
        except InvalidInputError as error:
            if name in _NEEDED and not isinstance(error, _TooLongError):
                raise
            refuse(error)
            continue
        # An empty list is a value, and text without any element is a missing one.
        if value is not None and (value != () or isinstance(cell, list)):
            fields[name] = value
    return fields


def _attributes(
    row: Row, known: frozenset[str], cleared_names: Collection[str], refuse: Refuse, *, has_nulls: bool
) -> Mapping[str, AttributeValue | None]:
    """The values of the attributes that the row names, None for those to remove."""
    values = read_attributes(row, known, refuse)
    removed = _nulls(row.get("attributes"), has_nulls=has_nulls)
    columns = [name for name in cleared_names if name not in known and name not in IGNORED_NAMES]
    if not removed and not columns:  # the usual case
        return values
    # A column counts more than an attribute of the same name in the object.
    return dict.fromkeys(removed) | values | dict.fromkeys(columns)


def _nulls(given: Any, *, has_nulls: bool) -> list[str]:
    """The names in a column `attributes` whose value is null, which `read_attributes` leaves out."""
    # JSON in a cell states its nulls, whereas a struct of Parquet has all names of the column in every row.
    if not ("null" in given if isinstance(given, str) else has_nulls):
        return []
    try:
        return [name for name, value in read_object(given).items() if value is None]
    # `read_attributes` has refused it.
    except InvalidInputError:
        return []


class _TooLongError(InvalidInputError):
    """A text is longer than its field holds."""


def _text(name: str, declared: ItemField, value: Any) -> str | None:
    text = read_text(value, name)
    if text is not None and declared.max_length and declared.limits_stored and len(text) > declared.max_length:
        raise _TooLongError(f"{quote(text)} has more than {declared.max_length:,} characters", field=name)
    return text


def _url(name: str, _declared: ItemField, value: Any) -> str | None:
    text = read_text(value, name)
    # Scraped files often have spaces around a URL, and a URL contains none.
    if text is None or not text.strip():
        return None
    try:
        return clean_url(text.strip(), name)
    except InvalidInputError as error:
        raise InvalidInputError(f"{quote(text)}: {error}", field=name) from error


def _id(name: str, _declared: ItemField, value: Any) -> str | None:
    return None if is_missing(value) else read_id(value, name)


def _integer(name: str, declared: ItemField, value: Any) -> int | None:
    number = _number(name, declared, _year(value) if name == "year" else value)
    if number is None:
        return None
    if not number.is_integer():
        raise InvalidInputError(f"{quote(value)} is not a whole number", field=name)
    return int(number)


def _number(name: str, declared: ItemField, value: Any) -> float | None:
    if is_missing(value):
        return None
    number = read_written_number(value, name)
    low, high = declared.minimum, declared.maximum
    if (low is not None and number < low) or (high is not None and number > high):
        raise InvalidInputError(f"{quote(value)} does not lie between {low} and {high}", field=name)
    return number


def _year(value: Any) -> Any:
    """The value, or the year of a date; None where missing. Raises `InvalidInputError` where it is not a year."""
    if is_missing(value):
        return None
    try:
        # Files often have the date of release where a year is asked for.
        is_date = isinstance(value, str) and not is_plain(value.strip())
        year = read_moment(value, "year") if is_date else value
        if isinstance(year, date):
            return year.year
        read_number(year, "year")
    except InvalidInputError:
        raise InvalidInputError(f"{quote(value)} is not a year", field="year") from None
    return year


# Functions that read a cell of a file, by the kind of its column; an empty cell gives None. Attributes are not among
# them, because they are read from the whole row.
_ITEM_READERS: dict[ItemFieldKind, Callable[[str, ItemField, Any], Any]] = {
    "text": _text,
    "url": _url,
    "id": _id,
    # In two Unicode forms, a category may come twice.
    "texts": lambda name, _declared, value: tuple(dict.fromkeys(read_list(value, name))),
    "integer": _integer,
    "number": _number,
    "flag": lambda name, _declared, value: None if is_missing(value) else read_flag(value, name, default=False),
    "time": lambda name, _declared, value: read_moment(value, name),
}
_NEEDED = frozenset(
    {"country", *(name for name, declared in ITEM_FIELDS.items() if declared.kind in {"id", "flag", "text"})}
)
"""Fields without which a row is not imported: a guess at them would show what is hidden, or broken text."""
