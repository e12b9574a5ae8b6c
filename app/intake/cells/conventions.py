"""Finds how the values of each column of a table are written, and converts the blocks of the table accordingly.

The readers of cells accept what has one meaning in every column. Here is what follows from a column as a whole:

- Ids: a column of whole numbers of which some end with `.0`, as pandas writes integers beside missing values, holds
  integers. A column with any other text stays as it is.
- Ratings: `1,234` and `1.234` by the decimal sign of the column (`DecimalEvidence`); `4/5` and `4 out of 5` where one
  maximum prevails; words such as like and dislike where the column holds no other values.
- Times: `03/04/2015` by the order of day and month (`OrderEvidence`); 2015 and 20150403 are dates where all values are
  such numbers, and epoch numbers otherwise.
- Categories: the separator of lists (`SeparatorEvidence`).
- Attributes of text files: numbers, flags, lists or texts (`AttributeEvidence`).

The first block decides, about 25,000 rows. Later ones are read until the decimal sign and the order of dates follow,
and to the end for the types of attributes and the separators of categories, so that an attribute has one type in a
file. A later value that does not fit the convention of its column keeps its text, and its row is rejected or, for items
and users, imported without the cell.

An export of Reckon has no conventions: its values are read exactly as they are written.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from app.entities import ITEM_FIELDS, ItemFieldKind
from app.intake.blocks import Block, Column, InputTable
from app.intake.cells.attribute_column import AttributeEvidence
from app.intake.cells.column_convention import (
    ColumnEvidence,
    Convert,
    FixedConvention,
    of_repeated_texts,
    of_texts,
    texts_of,
)
from app.intake.cells.list_texts import SeparatorEvidence, is_literal, split
from app.intake.cells.number_texts import is_integer, without_float32_noise
from app.intake.cells.time_column import TimeEvidence
from app.intake.cells.value_column import ValueEvidence
from app.intake.cells.values import CLEARED, MISSING, NULLS, Verbatim, is_cut_number, is_missing
from app.intake.column_names.columns import IGNORED_NAMES, Kind
from app.intake.hints import FileHints

_TEXT_FORMATS = frozenset({"delimited", "movielens", "recbole"})
"""Formats whose cells are text, so that what they are follows from how they are written."""

_IDS = frozenset({"user_id", "item_id", "event_id", "created_by", "type", "placement"})

_WHOLE_FLOAT = re.compile(r"([+-]?\d+)\.0+", re.ASCII)
_MAX_EXACT = 2**53
"""Up to here a float holds every integer exactly."""


def with_conventions(table: InputTable, hints: FileHints) -> InputTable:
    """Return the table with values that the readers of cells understand.

    Raises `InvalidInputError` where a convention does not follow from the values and must be stated, and where a stated
    one fits no value.
    """
    if table.kind not in _COLUMNS:
        return table
    conventions = _Conventions(table, hints)
    return replace(table, blocks=lambda: map(conventions.convert, table.blocks()))


def as_reckon_writes(table: InputTable) -> InputTable:
    """Return a table of an export, whose values are read exactly as they are written."""
    return replace(table, blocks=lambda: map(_with_exact_ids, table.blocks()))


def _with_exact_ids(block: Block) -> Block:
    def exact(cell: Any) -> Any:
        return Verbatim(cell) if isinstance(cell, str) and (is_missing(cell) or is_cut_number(cell)) else cell

    ids = {name: list(map(exact, column)) for name, column in block.columns.items() if name in _IDS}
    return replace(block, columns={**block.columns, **ids})


class _Conventions:
    """The conventions of a table."""

    def __init__(self, table: InputTable, hints: FileHints) -> None:
        self._table = table
        self._hints = hints
        evidence: dict[str, ColumnEvidence] = {}
        for block in table.blocks():
            for name, column in block.columns.items():
                if name not in evidence:
                    evidence[name] = self._new(name)
                if not evidence[name].is_settled:
                    evidence[name].add(column)
            if all(each.is_settled for each in evidence.values()):
                break
        self._by_name = {name: each.convention() for name, each in evidence.items()}

    def _new(self, name: str) -> ColumnEvidence:
        if name in IGNORED_NAMES:
            return FixedConvention()
        make = _COLUMNS[self._table.kind].get(name, _attributes if self._table.kind in _ENTRIES else _untouched)
        return make(name, self._table, self._hints)

    def convert(self, block: Block) -> Block:
        converted: dict[str, Column] = {}
        for name, column in block.columns.items():
            # The rows of a JSONL file may have names that the rows read so far lack.
            if name not in self._by_name:
                self._by_name[name] = self._new(name).convention()
            convert = self._by_name[name]
            if convert is not None:
                converted[name] = list(map(convert, column))
        return replace(block, columns={**block.columns, **converted}, original=block) if converted else block


class _Ids:
    """Whole numbers written as floats are integers where all values are whole numbers."""

    def __init__(self) -> None:
        self.is_settled = False
        self._is_whole = True
        self._has_floats = False

    def add(self, column: Column) -> None:
        texts = texts_of(column)
        others = [cell for cell in column if not isinstance(cell, str) and not is_missing(cell)]
        self.is_settled = bool(texts or others)
        for cell in chain(texts, others):
            whole = _whole(cell)
            self._is_whole &= whole is not None
            self._has_floats |= isinstance(cell, float) or whole != cell

    def convention(self) -> Convert | None:
        return (lambda cell: _whole(cell) or cell) if self._is_whole and self._has_floats else None


def _whole(cell: Any) -> Any:
    """An integer as it is, and the digits of a whole number of another type; None for anything else."""
    if type(cell) is int:
        return cell
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) <= _MAX_EXACT else None
    if not isinstance(cell, str):
        return None
    text = cell.strip()
    match = _WHOLE_FLOAT.fullmatch(text)
    return match[1] if match else text if is_integer(text) else None


class _Lists:
    """Lists of names, such as categories."""

    def __init__(self) -> None:
        self.is_settled = False
        self._separators = SeparatorEvidence()
        self._has_nulls = False

    def add(self, column: Column) -> None:
        self._has_nulls |= not MISSING.isdisjoint(cell for cell in column if isinstance(cell, str) and cell)
        texts = texts_of(column)
        self._separators.add(texts)
        # In JSON, lists are lists from the first row on.
        self.is_settled = not texts and any(isinstance(cell, list | dict) for cell in column)

    def convention(self) -> Convert | None:
        separator = self._separators.separator
        # The reader of lists knows literals and `A|B` already.
        if separator in {None, "|"} and not self._separators.has_paths and not self._has_nulls:
            return None
        return of_repeated_texts(lambda text: _split_or_literal(text, separator))


def _split_or_literal(text: str, separator: str | None) -> Any:
    if text in MISSING:
        return text if text == CLEARED else None
    return text if is_literal(text) else split(text, separator)


_Make = Callable[[str, InputTable, FileHints], ColumnEvidence]


def _ids(_name: str, _table: InputTable, _hints: FileHints) -> ColumnEvidence:
    return _Ids()


def _lists(_name: str, _table: InputTable, _hints: FileHints) -> ColumnEvidence:
    return _Lists()


def _texts(_name: str, table: InputTable, _hints: FileHints) -> ColumnEvidence:
    return FixedConvention(_without(NULLS) if table.format in _TEXT_FORMATS else None)


def _country(_name: str, table: InputTable, _hints: FileHints) -> ColumnEvidence:
    # NA is Namibia.
    return FixedConvention(_without(NULLS - {"NA"}) if table.format in _TEXT_FORMATS else None)


def _optional(_name: str, _table: InputTable, _hints: FileHints) -> ColumnEvidence:
    return FixedConvention(_without(MISSING))


def _without(nulls: frozenset[str]) -> Convert:
    """Return a conversion of texts that removes blanks around them, and replaces those of `nulls` by None."""

    def convert(text: str) -> str | None:
        return None if text in nulls else text

    return of_texts(convert)


def _years(_name: str, _table: InputTable, _hints: FileHints) -> ColumnEvidence:
    # There was no year 0, and files have it where the year is not known.
    return FixedConvention(lambda cell: f"{cell} (no year)" if str(cell).strip() in {"0", "0.0"} else cell)


def _untouched(_name: str, _table: InputTable, _hints: FileHints) -> ColumnEvidence:
    return FixedConvention()


def _values(name: str, table: InputTable, hints: FileHints) -> ColumnEvidence:
    return ValueEvidence(name, table.file.display_name, hints.missing, hints.decimal)


def _times(name: str, table: InputTable, hints: FileHints) -> ColumnEvidence:
    # Ratings and events do not lie in the future; a day is added for zones that are ahead of UTC.
    latest = None if table.kind in _ENTRIES else datetime.now(UTC).date() + timedelta(days=1)
    return TimeEvidence(name, table.file.display_name, hints.date_format, latest)


def _attributes(name: str, table: InputTable, _hints: FileHints) -> ColumnEvidence:
    return AttributeEvidence(name) if table.format in _TEXT_FORMATS else FixedConvention(_without_noise)


def _without_noise(cell: Any) -> Any:
    return without_float32_noise(cell) if type(cell) is float else cell


_OF_ITEM_FIELD: Mapping[ItemFieldKind, _Make] = {
    "text": _texts,
    "url": _texts,
    "id": _ids,
    "texts": _lists,
    "time": _times,
}
_COLUMNS: Mapping[Kind, Mapping[str, _Make]] = {
    Kind.RATINGS: {"user_id": _ids, "item_id": _ids, "value": _values, "rated_at": _times},
    Kind.EVENTS: {"event_id": _ids, "user_id": _ids, "item_id": _ids, "at": _times}
    | dict.fromkeys(("portion", "placement", "snapshot_version", "position"), _optional),
    Kind.ITEMS: {"item_id": _ids}
    | {name: _OF_ITEM_FIELD.get(declared.kind, _untouched) for name, declared in ITEM_FIELDS.items()}
    | {"year": _years},
    Kind.USERS: {"user_id": _ids, "country": _country, "attributes": _untouched},
}
_ENTRIES = frozenset({Kind.ITEMS, Kind.USERS})
"""Kinds of tables in which every other column is an attribute."""
