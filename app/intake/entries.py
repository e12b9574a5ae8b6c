"""Converts blocks to items and users, row by row, because catalogues are small compared with the ratings."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from app.entities import BARE_ITEM, ITEM_FIELDS, Item, ItemField, ItemFieldKind, User, clean_url
from app.errors import InvalidInputError
from app.intake.attributes import read_attributes, read_flag, read_list, read_text
from app.intake.blocks import Block, RejectedRow
from app.intake.columns import IGNORED_NAMES
from app.intake.values import quote, read_id, read_moment, read_number

Entry = TypeVar("Entry", Item, User)
Row = dict[str, Any]

_USER_FIELDS = frozenset({"country", "attributes"})


@dataclass(frozen=True, slots=True)
class ReadEntries(Generic[Entry]):
    """The entries of one block.

    `given`: the fields that the block has columns for. An import does not change the other fields of stored entries.
    """

    entries: list[Entry]
    given: frozenset[str]
    rejected: list[RejectedRow]


def read_items(block: Block) -> ReadEntries[Item]:
    """Convert a block to items. A row that is not valid is rejected with the field and the reason."""
    # Only the columns of the block are read, so an absent column keeps the default and costs nothing per row.
    readers = [
        (name, partial(_ITEM_READERS[declared.kind], name, declared))
        for name, declared in ITEM_FIELDS.items()
        if name in block.columns and declared.kind != "attributes"
    ]

    def make(row: Row) -> Item:
        item_id = read_id(row.get("item_id"), "item_id")
        values = {name: read(row[name]) for name, read in readers}
        return Item(item_id, attributes=read_attributes(row, _KNOWN_OF_ITEMS), **values)

    return _read(block, make, ITEM_FIELDS.keys(), "item_id")


def read_users(block: Block) -> ReadEntries[User]:
    """Convert a block to users. A row that is not valid is rejected with the field and the reason."""
    return _read(block, _user, _USER_FIELDS, "user_id")


def _read(block: Block, make: Callable[[Row], Entry], fields: Collection[str], id_name: str) -> ReadEntries[Entry]:
    names = block.columns.keys()
    given = names & fields
    # Every unknown column becomes an attribute.
    if names - set(fields) - IGNORED_NAMES - {id_name}:
        given |= {"attributes"}
    entries, rejected = [], list(block.rejected)
    for index, values in enumerate(zip(*block.columns.values(), strict=True)):
        try:
            entries.append(make(dict(zip(names, values, strict=True))))
        except InvalidInputError as error:
            rejected.append(block.reject(index, f"{error.field}: {error}"))
    return ReadEntries(entries, frozenset(given), rejected)


def _user(row: Row) -> User:
    age = row.get("age")
    # Age is the only user column that is a number in every known data set; postal codes look like numbers too.
    if isinstance(age, str) and age.isdecimal():
        row |= {"age": int(age)}
    attributes = read_attributes(row, _USER_FIELDS | {"user_id"})
    return User(read_id(row.get("user_id"), "user_id"), read_text(row.get("country"), "country"), attributes)


def _text(name: str, declared: ItemField, value: Any) -> str | None:
    text = read_text(value, name)
    if text is not None and declared.max_length and declared.limits_stored and len(text) > declared.max_length:
        raise InvalidInputError(f"{quote(text)} has more than {declared.max_length:,} characters", field=name)
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
    return read_id(value, name) if value else None


def _integer(name: str, declared: ItemField, value: Any) -> int | None:
    number = _number(name, declared, value)
    if number is None:
        return None
    if not number.is_integer():
        raise InvalidInputError(f"{quote(value)} is not a whole number", field=name)
    return int(number)


def _number(name: str, declared: ItemField, value: Any) -> float | None:
    if value is None or value == "":
        return None
    number = read_number(value, name)
    low, high = declared.minimum, declared.maximum
    if (low is not None and number < low) or (high is not None and number > high):
        raise InvalidInputError(f"{quote(value)} does not lie between {low} and {high}", field=name)
    return number


# Functions that read a cell of a file, by the kind of its column; an empty cell gives None. Attributes are not among
# them, because they are read from the whole row.
_ITEM_READERS: dict[ItemFieldKind, Callable[[str, ItemField, Any], Any]] = {
    "text": _text,
    "url": _url,
    "id": _id,
    "texts": lambda name, _declared, value: read_list(value, name),
    "integer": _integer,
    "number": _number,
    "flag": lambda name, _declared, value: read_flag(value, name, default=getattr(BARE_ITEM, name)),
    "time": lambda name, _declared, value: read_moment(value, name),
}
_KNOWN_OF_ITEMS = frozenset({"item_id", *ITEM_FIELDS})
