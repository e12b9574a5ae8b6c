"""Blocks become events: each row judged by itself, as over HTTP."""

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
from app.intake.value_cache import ValueCache
from app.intake.values import quote, read_id, read_number, read_time

_MAX_VERSION = 2**53
_Row = tuple[str, str, str, str, int, float, str | None, int | None]


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """The events of one block, and its rows that are set aside."""

    events: IncomingEvents
    rejected: list[RejectedRow]


class EventReader:
    """Turns blocks with the columns event_id, type, user_id, item_id, at and maybe others into events.

    `now`: microseconds UTC; what claims to have happened more than 5 minutes later is rejected. `types`: the names of
    the declared types. A portion is taken of any type: one may have been a consumption when the event was stored.
    """

    def __init__(self, now: int, types: Collection[str]) -> None:
        self._latest = now + FUTURE_TOLERANCE_MICROSECONDS
        self._declared = frozenset(types)
        self._types = ValueCache(self._read_type, frozenset({str}))
        self._user_ids = ValueCache(partial(read_id, field="user_id"), frozenset({str, int}))
        self._item_ids = ValueCache(partial(read_id, field="item_id"), frozenset({str, int}))

    def read(self, block: Block) -> ReadEvents:
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
        return (
            read_id(event_id, "event_id"),
            self._types.of_one(type_),
            self._user_ids.of_one(user_id),
            self._item_ids.of_one(item_id),
            self._read_at(at),
            _read_portion(portion),
            read_id(placement, "placement") if placement else None,
            _read_version(snapshot_version),
        )

    def _read_type(self, value: Any) -> str:
        name = read_id(value, "type")
        if name not in self._declared:
            raise InvalidInputError(f"there is no event type {quote(name)}", field="type")
        return name

    def _read_at(self, value: Any) -> int:
        at = read_time(value, "at")
        if at == UNKNOWN_TIME:
            raise InvalidInputError("it is not said when this happened", field="at")
        if at > self._latest:
            raise InvalidInputError("lies in the future", field="at")
        return at


def _read_portion(value: Any) -> float:
    """NaN for nothing at all."""
    if value is None or value == "":
        return np.nan
    portion = read_number(value, "portion")
    if not 0 <= portion <= 1:
        raise InvalidInputError(f"{quote(value)} is no portion: 0 to 1", field="portion")
    return portion


def _read_version(value: Any) -> int | None:
    if value is None or value == "":
        return None
    version = read_number(value, "snapshot_version")
    if not version.is_integer() or not 0 <= version <= _MAX_VERSION:
        raise InvalidInputError(f"{quote(value)} is no version of a snapshot", field="snapshot_version")
    return int(version)


def _incoming(rows: list[_Row]) -> IncomingEvents:
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
