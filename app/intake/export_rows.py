"""Converts entities to rows of an export: typed values for JSONL, text for CSV."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.entities import ITEM_FIELDS, Event, EventType, IncomingRatings, Item, ItemFieldKind, User
from app.intake.attributes import read_list
from app.intake.table_writers import Format

RATING_NAMES = ("user_id", "item_id", "value", "rated_at")
EVENT_NAMES = ("event_id", "type", "user_id", "item_id", "at", "portion", "placement", "snapshot_version")
EVENT_TYPE_NAMES = ("type", "weight", "is_exposure", "is_consumption")
PLACEMENT_NAMES = ("placement", "settings")
USER_NAMES = ("user_id", "country", "attributes")
ITEM_NAMES = ("item_id", *ITEM_FIELDS)


def rating_rows(chunk: IncomingRatings, format_: Format) -> Iterator[Sequence[Any]]:
    """Convert a chunk of ratings; `rated_at` in ISO 8601 with microseconds, None if it is not known."""
    times = [None if time == "NaT" else time for time in _iso_8601(chunk.rated_at)]
    values: list[Any] = chunk.value.tolist()
    if format_ is Format.CSV:
        values = [as_digits(value) for value in values]
    return zip(chunk.user_id, chunk.item_id, values, times, strict=True)


def item_row(item: Item, format_: Format) -> Sequence[Any]:
    return item.item_id, *(write(getattr(item, name)) for name, write in _ITEM_WRITERS[format_])


def user_row(user: User, format_: Format) -> Sequence[Any]:
    return user.user_id, user.country, user.attributes if format_ is Format.JSONL else _object(user.attributes)


def event_row(event: Event, format_: Format) -> Sequence[Any]:
    common = event.event_id, event.type, event.user_id, event.item_id, _moment(event.at)
    if format_ is Format.JSONL:
        return *common, event.portion, event.placement, event.snapshot_version
    portion = None if event.portion is None else as_digits(event.portion)
    version = None if event.snapshot_version is None else str(event.snapshot_version)
    return *common, portion, event.placement, version


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
    return (joined or None) if read_list(joined, "categories") == texts else json.dumps(texts, ensure_ascii=False)


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
