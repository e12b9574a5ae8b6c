"""Blocks become items or users, row by row: catalogues are small beside the ratings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from app.entities import Item, User
from app.errors import InvalidInputError
from app.intake.attributes import read_attributes, read_flag, read_list, read_text
from app.intake.blocks import Block, RejectedRow
from app.intake.columns import IGNORED_NAMES
from app.intake.values import quote, read_id, read_moment, read_number

Entry = TypeVar("Entry", Item, User)
Row = dict[str, Any]

_ITEM_FIELDS = frozenset(
    {"title", "categories", "year", "attributes", "is_available", "available_until", "created_by", "added_at"}
)
_USER_FIELDS = frozenset({"country", "attributes"})
_MAX_YEAR = 10_000


@dataclass(frozen=True, slots=True)
class ReadEntries(Generic[Entry]):
    """The entries of one block; `given`: the fields its columns speak of, all others stay as they are stored."""

    entries: list[Entry]
    given: frozenset[str]
    rejected: list[RejectedRow]


def read_items(block: Block) -> ReadEntries[Item]:
    return _read(block, _item, _ITEM_FIELDS, "item_id")


def read_users(block: Block) -> ReadEntries[User]:
    return _read(block, _user, _USER_FIELDS, "user_id")


def _read(block: Block, make: Callable[[Row], Entry], fields: frozenset[str], id_name: str) -> ReadEntries[Entry]:
    names = block.columns.keys()
    given = fields & names
    if names - fields - IGNORED_NAMES - {id_name}:
        given |= {"attributes"}
    entries, rejected = [], list(block.rejected)
    for index, values in enumerate(zip(*block.columns.values(), strict=True)):
        try:
            entries.append(make(dict(zip(names, values, strict=True))))
        except InvalidInputError as error:
            rejected.append(block.reject(index, f"{error.field}: {error}"))
    return ReadEntries(entries, given, rejected)


def _item(row: Row) -> Item:
    return Item(
        item_id=read_id(row.get("item_id"), "item_id"),
        title=read_text(row.get("title"), "title"),
        categories=read_list(row.get("categories"), "categories"),
        year=_year(row.get("year")),
        attributes=read_attributes(row, _ITEM_FIELDS | {"item_id"}),
        is_available=read_flag(row.get("is_available"), "is_available", default=True),
        available_until=read_moment(row.get("available_until"), "available_until"),
        created_by=read_id(row["created_by"], "created_by") if row.get("created_by") else None,
        added_at=read_moment(row.get("added_at"), "added_at"),
    )


def _user(row: Row) -> User:
    age = row.get("age")
    if isinstance(age, str) and age.isdecimal():  # the one column of users that is a number wherever there is one
        row |= {"age": int(age)}
    attributes = read_attributes(row, _USER_FIELDS | {"user_id"})
    return User(read_id(row.get("user_id"), "user_id"), read_text(row.get("country"), "country"), attributes)


def _year(value: Any) -> int | None:
    if value is None or value == "":
        return None
    number = read_number(value, "year")
    if not number.is_integer() or abs(number) > _MAX_YEAR:
        raise InvalidInputError(f"{quote(value)} is not a year", field="year")
    return int(number)
