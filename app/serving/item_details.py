"""Columns of the items that a list shows besides the results of ranking: the parameter `fields`.

Decided: what the catalogue in memory holds exactly as it is stored is taken from there, and for anything else the rows
of the shown items are read, once and only for lists that ask. Descriptions and URLs of a million items take a gigabyte
in every process, and the catalogue keeps some values in a form for filters (no long texts, expired items as not
available). On SQLite a read is a function call of some 10 us an item, on Postgres one statement for all items. It is
newer than the catalogue that the list was made from, never older.
"""

import re
from asyncio import sleep
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np

from app.entities import BARE_ITEM, ITEM_FIELDS, from_microseconds
from app.errors import InvalidInputError
from app.serving.catalogue import Catalogue
from app.serving.query import ExplainedItem
from app.serving.rows import Rows
from app.store.serving_reads import ServingReads
from app.texts import nfc

ANSWER_FIELDS = tuple(field.name for field in fields(ExplainedItem))
"""What a list can say of an item without reading its row."""

COLUMNS = tuple(name for name in ITEM_FIELDS if name not in ANSWER_FIELDS)
ATTRIBUTE = "attributes."
MAX_NAMES = 200
"""In a request, those that come again too: a body has room for 80,000, which would take a second to read."""

READ_AT_ONCE = 100
"""Items between two yields to the event loop, on which a read from SQLite takes 10 us an item."""

# An attribute in quotes or backticks may hold commas, as in the expressions of filters.
_NAME = re.compile(
    r"""\s*(?:attributes\.(?:"(?P<quoted>(?:[^"\\]|\\.)+)"|`(?P<ticked>[^`]+)`)\s*|(?P<plain>[^,]*))(?P<end>,|\Z)""",
    re.DOTALL,
)
_GONE = replace(BARE_ITEM, is_available=False)
"""What is said of an item that was deleted while the list was made."""


@dataclass(frozen=True, slots=True)
class ItemSelection:
    """What a request wants to know of each item; nothing at all means the default fields.

    `answer_fields`: of `ANSWER_FIELDS`. `columns`: of `COLUMNS`, in the order of the table. `attributes`: names of
    single attributes; an item that lacks one is shown without it. `is_everything_default`: nothing is selected.
    """

    answer_fields: frozenset[str] = frozenset()
    columns: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    is_everything_default: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        # Set through `object` because the class is frozen; once for a selection that is kept with its query string.
        is_default = not (self.answer_fields or self.columns or self.attributes)
        object.__setattr__(self, "is_everything_default", is_default)

    @classmethod
    def parse(cls, texts: Iterable[str], answer_fields: Sequence[str] = ANSWER_FIELDS) -> Self:
        """The selection of `title,year,attributes.price` and the like; a repeated name counts once.

        `answer_fields`: what the answer can say of an item itself. Raises `InvalidInputError` for an unknown name.
        """
        names: dict[str, None] = {}
        attributes: dict[str, None] = {}
        for place, (name, is_attribute) in enumerate(each for text in texts for each in _names(text)):
            if place >= MAX_NAMES:
                raise InvalidInputError(f"at most {MAX_NAMES} fields", field="fields")
            if not is_attribute and name not in answer_fields and name not in COLUMNS:
                known = ", ".join((*answer_fields, *COLUMNS))
                raise InvalidInputError(f"{name!r} is no field of an item: {known}, {ATTRIBUTE}NAME", field="fields")
            (attributes if is_attribute else names)[name] = None
        # All attributes include the single ones.
        if "attributes" in names:
            attributes = {}
        columns = tuple(name for name in COLUMNS if name in names)
        return cls(frozenset(names) - {*COLUMNS}, columns, tuple(attributes))

    @property
    def columns_to_read(self) -> tuple[str, ...]:
        """The columns of the rows that are needed, in the order of the table."""
        return tuple(name for name in COLUMNS if name in self.columns or (name == "attributes" and self.attributes))


def _names(text: str) -> Iterator[tuple[str, bool]]:
    """The names in a comma-separated text, and whether each is one of an attribute."""
    start = 0
    while match := _NAME.match(text, start):
        if match["quoted"] is not None:
            yield nfc(re.sub(r"\\(.)", r"\1", match["quoted"])), True
        elif match["ticked"] is not None:
            yield nfc(match["ticked"]), True
        else:
            name = nfc(match["plain"].strip())
            is_attribute = name.startswith(ATTRIBUTE) and name != ATTRIBUTE
            yield (name.removeprefix(ATTRIBUTE) if is_attribute else name), is_attribute
        if not match["end"]:
            return
        start = match.end()


def _categories(_name: str, rows: Rows, catalogue: Catalogue) -> list[Any]:
    return catalogue.categories_by_name(rows)


def _year(name: str, rows: Rows, catalogue: Catalogue) -> list[Any]:
    years = _cells(name, rows, catalogue)
    return [None if year != year else int(year) for year in years]  # noqa: PLR0124  NaN means missing


def _time(name: str, rows: Rows, catalogue: Catalogue) -> list[Any]:
    missing = ITEM_FIELDS[name].missing_time
    return [None if time == missing else from_microseconds(time) for time in _cells(name, rows, catalogue)]


def _cells(name: str, rows: Rows, catalogue: Catalogue) -> list[Any]:
    column = catalogue.field(name)
    if column is None:
        raise LookupError(name)
    cells: list[Any] = column.cells.buffer[rows].tolist()
    return cells


HELD_COLUMNS: Mapping[str, Callable[[str, Rows, Catalogue], list[Any]]] = {
    "categories": _categories,
    "year": _year,
    "available_until": _time,
    "added_at": _time,
}
"""The columns that the catalogue holds as they are stored, and how to read them there: (n,) values of (n,) rows."""


async def read_details(
    item_ids: Sequence[str], selection: ItemSelection, reads: ServingReads, catalogue: Catalogue | None = None
) -> list[dict[str, Any]]:
    """The selected columns of each item, by name, as `ItemOut` has them; of a deleted item those of a bare one.

    What the catalogue holds in the form in which it was stored is not read, if one is given.
    """
    if len(item_ids) <= READ_AT_ONCE:
        return await _read(item_ids, selection, reads, catalogue)
    details: list[dict[str, Any]] = []
    for start in range(0, len(item_ids), READ_AT_ONCE):
        details += await _read(item_ids[start : start + READ_AT_ONCE], selection, reads, catalogue)
        await sleep(0)
    return details


async def _read(
    item_ids: Sequence[str], selection: ItemSelection, reads: ServingReads, catalogue: Catalogue | None
) -> list[dict[str, Any]]:
    columns = selection.columns_to_read
    if not columns:
        return [{} for _ in item_ids]
    if catalogue is not None and (held := held_details(item_ids, selection, catalogue)) is not None:
        return held
    # An item can be deleted after it was ranked. It stays in the list, so that pages keep their size.
    gone = {name: getattr(_GONE, name) for name in columns}
    rows = await reads.item_columns(item_ids, columns)
    return [_selected(gone if row is None else row, selection) for row in rows]


def held_details(
    item_ids: Sequence[str], selection: ItemSelection, catalogue: Catalogue
) -> list[dict[str, Any]] | None:
    """As `read_details`, from memory; None if the catalogue does not hold all of the selection as it is stored."""
    rows = [catalogue.row_of_id(item_id) for item_id in item_ids]
    if not HELD_COLUMNS.keys() >= set(selection.columns) or None in rows:
        return None
    places = np.array(rows, np.int64)
    details: list[dict[str, Any]] = [{} for _ in item_ids]
    for name in selection.columns:
        for detail, value in zip(details, HELD_COLUMNS[name](name, places, catalogue), strict=True):
            detail[name] = value
    if selection.attributes:
        for detail in details:
            detail["attributes"] = {}
        for name in selection.attributes:
            values = catalogue.attributes.values(name, places)
            if values is None:
                return None
            for detail, value in zip(details, values, strict=True):
                if value is not None:
                    detail["attributes"][name] = value
    return details


def remembered_details(item_ids: Sequence[str], selection: ItemSelection, catalogue: Catalogue) -> list[dict[str, Any]]:
    """As `read_details`, from memory alone; what the catalogue does not hold is as of a bare item."""
    bare = {name: getattr(BARE_ITEM, name) for name in selection.columns_to_read}
    details = []
    for item_id in item_ids:
        detail = _selected(bare, selection)
        for name in selection.columns:
            for held in held_details([item_id], ItemSelection(columns=(name,)), catalogue) or ():
                detail |= held
        for name in selection.attributes:
            for held in held_details([item_id], ItemSelection(attributes=(name,)), catalogue) or ():
                detail["attributes"] |= held["attributes"]
        details.append(detail)
    return details


def _selected(row: Mapping[str, Any], selection: ItemSelection) -> dict[str, Any]:
    if not selection.attributes:
        return dict(row)
    attributes = row["attributes"]
    return {**row, "attributes": {name: attributes[name] for name in selection.attributes if name in attributes}}
