"""Converts blocks to events; each row is checked by itself, by the rules of `POST /events`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np

from app.entities import MAX_POSITION, UNKNOWN_TIME, IncomingEvents
from app.errors import InvalidInputError
from app.intake.blocks import Block, RejectedRow
from app.intake.cells.values import ValueCache, quote, read_id, read_number, read_time
from app.intake.export_rows import EVENT_NAMES
from app.intake.ratings import FUTURE_TOLERANCE_MICROSECONDS

# JSON clients hold numbers as floats, which are exact up to this integer.
_MAX_VERSION = 2**53
_Row = tuple[str, str, str, str, int, float, str | None, int | None, int | None]


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """The n events of one block in its order, and the rows of the block that are rejected.

    `rows`: the n indices of the events in the block, which give the line of an event that is rejected later.
    """

    events: IncomingEvents
    rejected: list[RejectedRow]
    rows: list[int]


class EventReader:
    """Converts blocks with the columns type, user_id, item_id and at to events.

    The columns event_id, portion, placement, snapshot_version and position are optional, and so are the values of the
    last four.
    In a block without event ids each is derived from the other fields; see `_derived_id`.

    `now`: microseconds since 1970 UTC; events more than 5 minutes later are rejected.
    `ensure_type`: called with the type of each event that is valid otherwise; raises `InvalidInputError` where the type
    does not exist.
    """

    def __init__(self, now: int, ensure_type: Callable[[str], None]) -> None:
        self._latest = now + FUTURE_TOLERANCE_MICROSECONDS
        self._ensure_type = ensure_type
        # Event ids are not cached, because each occurs once.
        self._types = ValueCache(partial(read_id, field="type"), frozenset({str}))
        self._user_ids = ValueCache(partial(read_id, field="user_id"), frozenset({str, int}))
        self._item_ids = ValueCache(partial(read_id, field="item_id"), frozenset({str, int}))

    def read(self, block: Block) -> ReadEvents:
        """Convert the rows of `block`; a row with a bad value is rejected and does not affect the others."""
        rejected = list(block.rejected)
        events: list[_Row] = []
        rows: list[int] = []
        has_ids = "event_id" in block.columns
        for index, fields in enumerate(zip(*map(block.column, EVENT_NAMES), strict=True)):
            try:
                events.append(self._read(*fields, has_id=has_ids))
            except InvalidInputError as error:
                rejected.append(block.reject(index, f"{error.field}: {error}"))
            else:
                rows.append(index)
        return ReadEvents(_incoming(events), rejected, rows)

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
        position: Any,
        *,
        has_id: bool,
    ) -> _Row:
        read_event_id = read_id(event_id, "event_id") if has_id else ""
        # A portion is accepted for every type: the type may have been a consumption when the event was recorded.
        rest = (
            self._types.convert_value(type_),
            self._user_ids.convert_value(user_id),
            self._item_ids.convert_value(item_id),
            self._read_at(at),
            _read_portion(portion),
            read_id(placement, "placement") if placement else None,
            _read_whole(snapshot_version, "snapshot_version", _MAX_VERSION),
            _read_whole(position, "position", MAX_POSITION),
        )
        # The type may be created here, so this comes last: a bad row creates none.
        self._ensure_type(rest[0])
        return (read_event_id if has_id else _derived_id(rest), *rest)

    def _read_at(self, value: Any) -> int:
        at = read_time(value, "at")
        # A rating may lack its time, but trends and decay cannot count an event without one.
        if at == UNKNOWN_TIME:
            raise InvalidInputError("the time of the event is missing", field="at")
        if at > self._latest:
            raise InvalidInputError("is more than 5 minutes in the future", field="at")
        return at


def _derived_id(fields: Sequence[object]) -> str:
    """Return an id that follows from all fields of an event, so that the same row never counts twice.

    Rows that are equal in all fields are one event, within a file and across files: exports of a log overlap and repeat
    rows far more often than a user does the same thing with the same item at the same time. Columns that Reckon does
    not know play no part, because a later export of the same log may lack or add some.
    """
    # Without a position, the id is that of the same row imported before events had one.
    *others, position = fields
    # Ids contain no control characters, so the joined text cannot be that of other fields.
    text = "\n".join(map(str, others if position is None else fields))
    return f"row-{blake2b(text.encode(), digest_size=16).hexdigest()}"


def _read_portion(value: Any) -> float:
    """Return a number from 0 to 1; NaN where missing."""
    if value is None or value == "":
        return np.nan
    portion = read_number(value, "portion")
    if not 0 <= portion <= 1:
        raise InvalidInputError(f"{quote(value)} is not a portion: it must be from 0 to 1", field="portion")
    return portion


def _read_whole(value: Any, field: str, maximum: int) -> int | None:
    """Return a whole number from 0 to `maximum`; None where missing."""
    if value is None or value == "":
        return None
    number = read_number(value, field)
    if not number.is_integer() or not 0 <= number <= maximum:
        message = f"{quote(value)} is not a {field.replace('_', ' ')}: it must be a whole number from 0 to {maximum:,}"
        raise InvalidInputError(message, field=field)
    return int(number)


def _incoming(rows: list[_Row]) -> IncomingEvents:
    # `zip(*rows)` yields nothing for no rows, so the empty columns are made by hand.
    event_id, type_, user_id, item_id, at, portion, placement, version, position = (
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
        position,
    )
