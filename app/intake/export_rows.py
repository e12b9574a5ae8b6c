"""An entity as one row of an export: typed values for JSONL, text for CSV."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.entities import IncomingRatings, Item, User
from app.intake.attributes import read_list
from app.intake.table_writers import Format

RATING_NAMES = ("user_id", "item_id", "value", "rated_at")
USER_NAMES = ("user_id", "country", "attributes")
ITEM_NAMES = (
    *("item_id", "title", "categories", "year", "attributes"),
    *("is_available", "available_until", "created_by", "added_at"),
)


def rating_rows(chunk: IncomingRatings, format_: Format) -> Iterator[Sequence[Any]]:
    """`rated_at` as ISO 8601 with microseconds; None where it is not known."""
    times = [None if time == "NaT" else time for time in _iso_8601(chunk.rated_at)]
    values: list[Any] = chunk.value.tolist()
    if format_ is Format.CSV:
        values = [as_digits(value) for value in values]
    return zip(chunk.user_id, chunk.item_id, values, times, strict=True)


def item_row(item: Item, format_: Format) -> Sequence[Any]:
    times = _moment(item.available_until), item.created_by, _moment(item.added_at)
    if format_ is Format.JSONL:
        return item.item_id, item.title, item.categories, item.year, item.attributes, item.is_available, *times
    year = None if item.year is None else str(item.year)
    is_available = "true" if item.is_available else "false"
    return item.item_id, item.title, _listed(item.categories), year, _object(item.attributes), is_available, *times


def user_row(user: User, format_: Format) -> Sequence[Any]:
    return user.user_id, user.country, user.attributes if format_ is Format.JSONL else _object(user.attributes)


def as_digits(number: float) -> str:
    """The shortest digits that read back as the same number."""
    return repr(number).removesuffix(".0")


def _iso_8601(microseconds: NDArray[np.int64]) -> list[str]:
    moments = microseconds.view("datetime64[us]")  # `UNKNOWN_TIME` is how datetime64 keeps its NaT
    texts: list[str] = np.datetime_as_string(moments, unit="us", timezone="UTC").tolist()
    return texts


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _listed(texts: tuple[str, ...]) -> str | None:
    """`A|B`, as MovieLens has it; JSON where that would not read back the same."""
    joined = "|".join(texts)
    return (joined or None) if read_list(joined, "categories") == texts else json.dumps(texts, ensure_ascii=False)


def _object(attributes: dict[str, Any]) -> str | None:
    return json.dumps(attributes, ensure_ascii=False) if attributes else None
