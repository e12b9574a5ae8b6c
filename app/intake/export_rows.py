"""Converts entities to rows of an export: typed values for JSONL, text for CSV."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.entities import ITEM_FIELDS, Event, EventType, IncomingRatings, Item, ItemFieldKind, User
from app.errors import InvalidInputError
from app.intake.cells.attributes import read_list
from app.intake.cells.clearing import escape
from app.intake.entries import BARE_MARK, DELETED_MARK
from app.intake.files.table_writers import Format

RATING_NAMES = ("user_id", "item_id", "value", "rated_at")
EVENT_NAMES = ("event_id", "type", "user_id", "item_id", "at", "portion", "placement", "snapshot_version", "position")
EVENT_TYPE_NAMES = ("type", "weight", "is_exposure", "is_consumption")
PLACEMENT_NAMES = ("placement", "settings")
USER_NAMES = ("user_id", "country", "attributes")
ITEM_NAMES = ("item_id", *ITEM_FIELDS)
MARKED_ITEM_NAMES = (*ITEM_NAMES, BARE_MARK, DELETED_MARK)
_TEXT_KINDS: set[ItemFieldKind] = {"text", "url", "id", "texts"}
TEXT_NAMES = frozenset(
    {
        *("user_id", "item_id", "event_id", "type", "placement", "country"),
        *(name for name, declared in ITEM_FIELDS.items() if declared.kind in _TEXT_KINDS),
    }
)
"""The columns of any table that hold text as it came in; the others hold numbers, times, flags and JSON."""


def rating_rows(chunk: IncomingRatings, format_: Format) -> Iterator[Sequence[Any]]:
    """Convert a chunk of ratings; `rated_at` in ISO 8601 with microseconds, None if it is not known."""
    times = [None if time == "NaT" else time for time in _iso_8601(chunk.rated_at)]
    values: list[Any] = chunk.value.tolist()
    if format_ is Format.CSV:
        values = [as_digits(value) for value in values]
    return zip(chunk.user_id, chunk.item_id, values, times, strict=True)


def item_row(item: Item, format_: Format) -> Sequence[Any]:
    return item.item_id, *(write(getattr(item, name)) for name, write in _ITEM_WRITERS[format_])


def marked_item_row(item: Item, is_bare: bool, is_deleted: bool, format_: Format) -> Sequence[Any]:
    """As `item_row`, and last whether the item is bare, and whether it is deleted."""
    marks = is_bare, is_deleted
    return *item_row(item, format_), *(marks if format_ is Format.JSONL else map(_flag, marks))


def user_row(user: User, format_: Format) -> Sequence[Any]:
    if format_ is Format.JSONL:
        return user.user_id, user.country, user.attributes
    return user.user_id, escape(user.country), _object(user.attributes)


def event_row(event: Event, format_: Format) -> Sequence[Any]:
    common = event.event_id, event.type, event.user_id, event.item_id, _moment(event.at)
    if format_ is Format.JSONL:
        return *common, event.portion, event.placement, event.snapshot_version, event.position
    portion = None if event.portion is None else as_digits(event.portion)
    version, position = (None if each is None else str(each) for each in (event.snapshot_version, event.position))
    return *common, portion, event.placement, version, position


def event_type_row(declared: EventType, format_: Format) -> Sequence[Any]:
    if format_ is Format.JSONL:
        return declared.name, declared.weight, declared.is_exposure, declared.is_consumption
    flags = _flag(declared.is_exposure), _flag(declared.is_consumption)
    return declared.name, as_digits(declared.weight), *flags


def placement_row(name: str, settings: dict[str, Any], format_: Format) -> Sequence[Any]:
    return name, settings if format_ is Format.JSONL else json.dumps(settings, ensure_ascii=False)


def as_digits(number: float) -> str:
    """Return the shortest decimal digits that are read back as the same number."""
    return repr(number).removesuffix(".0")


def _iso_8601(microseconds: NDArray[np.int64]) -> list[str]:
    # `UNKNOWN_TIME` has the bits of NaT, so unknown times become "NaT".
    moments = microseconds.view("datetime64[us]")
    texts: list[str] = np.datetime_as_string(moments, unit="us", timezone="UTC").tolist()
    return texts


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _flag(is_so: bool) -> str:
    return "true" if is_so else "false"


def _listed(texts: tuple[str, ...]) -> str | None:
    """Return `A|B`, as in MovieLens, or JSON if `A|B` would not be read back as the same texts."""
    joined = "|".join(texts)
    try:
        is_read_back = read_list(joined, "categories") == texts
    except InvalidInputError:
        # `{"a": 1}|b` begins like JSON.
        is_read_back = False
    return escape(joined or None) if is_read_back else json.dumps(texts, ensure_ascii=False)


def _object(attributes: dict[str, Any]) -> str | None:
    return json.dumps(attributes, ensure_ascii=False) if attributes else None


def _as_it_is(value: Any) -> Any:
    return value


def _if_known(write: Callable[[Any], str]) -> Callable[[Any], str | None]:
    return lambda value: None if value is None else write(value)


_FIELD_WRITERS: dict[Format, dict[ItemFieldKind, Callable[[Any], Any]]] = {
    # JSON has a type for every other kind.
    Format.JSONL: {"time": _moment},
    Format.CSV: {
        "text": escape,
        "id": escape,
        "texts": _listed,
        "integer": _if_known(str),
        "number": _if_known(as_digits),
        "flag": _flag,
        "time": _moment,
        "attributes": _object,
    },
}
# The writers are looked up here once, instead of for every cell of every row.
_ITEM_WRITERS = {
    format_: [(name, writers.get(declared.kind, _as_it_is)) for name, declared in ITEM_FIELDS.items()]
    for format_, writers in _FIELD_WRITERS.items()
}
