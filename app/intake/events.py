"""Converts blocks to events; each row is checked by itself, by the rules of `POST /events`."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from app.entities import UNKNOWN_TIME, IncomingEvents
from app.errors import InvalidInputError
from app.intake.blocks import Block, RejectedRow
from app.intake.export_rows import EVENT_NAMES
from app.intake.ratings import FUTURE_TOLERANCE_MICROSECONDS
from app.intake.values import ValueCache, quote, read_id, read_number, read_time

# JSON clients hold numbers as floats, which are exact up to this integer.
_MAX_VERSION = 2**53
_Row = tuple[str, str, str, str, int, float, str | None, int | None]


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """The events of one block in its order, and the rows of the block that are rejected."""

    events: IncomingEvents
    rejected: list[RejectedRow]


class EventReader:
    """Converts blocks with the columns event_id, type, user_id, item_id and at to events.

    The columns portion, placement and snapshot_version are optional, and so are their values.

    `now`: microseconds since 1970 UTC; events more than 5 minutes later are rejected.
    `types`: names of the event types that exist; events of other types are rejected.
    """

    def __init__(self, now: int, types: Collection[str]) -> None:
        self._latest = now + FUTURE_TOLERANCE_MICROSECONDS
        self._type_names = frozenset(types)
        # Event ids are not cached, because each occurs once.
        self._types = ValueCache(self._read_type, frozenset({str}))
        self._user_ids = ValueCache(partial(read_id, field="user_id"), frozenset({str, int}))
        self._item_ids = ValueCache(partial(read_id, field="item_id"), frozenset({str, int}))

    def read(self, block: Block) -> ReadEvents:
        """Convert the rows of `block`; a row with a bad value is rejected and does not affect the others."""
        rejected = list(block.rejected)
        rows: list[_Row] = []
        for index, fields in enumerate(zip(*map(block.column, EVENT_NAMES), strict=True)):
            try:
                rows.append(self._read(*fields))
            except InvalidInputError as error:
                rejected.append(block.reject(index, f"{error.field}: {error}"))
        return ReadEvents(_incoming(rows), rejected)

    def _read(
        self,
        event_id: Any,
        type_: Any,
        user_id: Any,
        item_id: Any,
        at: Any,
        portion: Any,
        placement: Any,
        snapshot_version: Any,
    ) -> _Row:
        # A portion is accepted for every type: the type may have been a consumption when the event was recorded.
        return (
            read_id(event_id, "event_id"),
            self._types.convert_value(type_),
            self._user_ids.convert_value(user_id),
            self._item_ids.convert_value(item_id),
            self._read_at(at),
            _read_portion(portion),
            read_id(placement, "placement") if placement else None,
            _read_version(snapshot_version),
        )

    def _read_type(self, value: Any) -> str:
        name = read_id(value, "type")
        if name not in self._type_names:
            raise InvalidInputError(f"there is no event type {quote(name)}", field="type")
        return name

    def _read_at(self, value: Any) -> int:
        at = read_time(value, "at")
        # A rating may lack its time, but trends and decay cannot count an event without one.
        if at == UNKNOWN_TIME:
            raise InvalidInputError("the time of the event is missing", field="at")
        if at > self._latest:
            raise InvalidInputError("is more than 5 minutes in the future", field="at")
        return at


def _read_portion(value: Any) -> float:
    """Return a number from 0 to 1; NaN where missing."""
    if value is None or value == "":
        return np.nan
    portion = read_number(value, "portion")
    if not 0 <= portion <= 1:
        raise InvalidInputError(f"{quote(value)} is not a portion: it must be from 0 to 1", field="portion")
    return portion


def _read_version(value: Any) -> int | None:
    """Return the version of a snapshot; None where missing."""
    if value is None or value == "":
        return None
    version = read_number(value, "snapshot_version")
    if not version.is_integer() or not 0 <= version <= _MAX_VERSION:
        raise InvalidInputError(f"{quote(value)} is not a snapshot version", field="snapshot_version")
    return int(version)


def _incoming(rows: list[_Row]) -> IncomingEvents:
    # `zip(*rows)` yields nothing for no rows, so the empty columns are made by hand.
    event_id, type_, user_id, item_id, at, portion, placement, version = (
        map(list, zip(*rows, strict=True)) if rows else ([] for _ in EVENT_NAMES)
    )
    return IncomingEvents(
        event_id,
        type_,
        user_id,
        item_id,
        np.array(at, dtype=np.int64),
        np.array(portion, dtype=np.float64),
        placement,
        version,
    )
