"""Columns of the items that a list shows besides the results of ranking: the parameter `fields`.

Decided: one read of the shown items' rows, and only of lists that ask. Descriptions and URLs of a million items take a
gigabyte in every process, and the catalogue in memory keeps other columns in a form for filters (whole numbers as
floats, no long texts). On SQLite the read is a function call of some 10 us an item, on Postgres one statement for all
items. It is newer than the catalogue that the list was made from, never older.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from app.entities import BARE_ITEM, ITEM_FIELDS
from app.errors import InvalidInputError
from app.serving.query import ExplainedItem
from app.store.serving_reads import ServingReads

ANSWER_FIELDS = tuple(field.name for field in fields(ExplainedItem))
"""What a list can say of an item without reading its row."""

COLUMNS = tuple(name for name in ITEM_FIELDS if name not in ANSWER_FIELDS)
ATTRIBUTE = "attributes."
MAX_NAMES = 200
"""In a request, those that come again too: a body has room for 80,000, which would take a second to read."""

# An attribute in quotes may hold commas, as in the expressions of filters.
_NAME = re.compile(r'\s*(?:attributes\."(?P<quoted>(?:[^"\\]|\\.)+)"\s*|(?P<plain>[^,]*))(?P<end>,|\Z)', re.DOTALL)
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
    def parse(cls, texts: Iterable[str]) -> Self:
        """The selection of `title,year,attributes.price` and the like; a repeated name counts once.

        Raises `InvalidInputError` for an unknown name.
        """
        names: dict[str, None] = {}
        attributes: dict[str, None] = {}
        for place, (name, is_attribute) in enumerate(each for text in texts for each in _names(text)):
            if place >= MAX_NAMES:
                raise InvalidInputError(f"at most {MAX_NAMES} fields", field="fields")
            if not is_attribute and name not in ANSWER_FIELDS and name not in COLUMNS:
                known = ", ".join((*ANSWER_FIELDS, *COLUMNS))
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
            yield re.sub(r"\\(.)", r"\1", match["quoted"]), True
        else:
            name = match["plain"].strip()
            is_attribute = name.startswith(ATTRIBUTE) and name != ATTRIBUTE
            yield (name.removeprefix(ATTRIBUTE) if is_attribute else name), is_attribute
        if not match["end"]:
            return
        start = match.end()


async def read_details(item_ids: Sequence[str], selection: ItemSelection, reads: ServingReads) -> list[dict[str, Any]]:
    """The selected columns of each item, by name, as `ItemOut` has them; of a deleted item those of a bare one."""
    columns = selection.columns_to_read
    if not columns:
        return [{}] * len(item_ids)
    # An item can be deleted after it was ranked. It stays in the list, so that pages keep their size.
    gone = {name: getattr(_GONE, name) for name in columns}
    rows = await reads.item_columns(item_ids, columns)
    return [_selected(gone if row is None else row, selection) for row in rows]


def _selected(row: Mapping[str, Any], selection: ItemSelection) -> dict[str, Any]:
    if not selection.attributes:
        return dict(row)
    attributes = row["attributes"]
    return {**row, "attributes": {name: attributes[name] for name in selection.attributes if name in attributes}}
