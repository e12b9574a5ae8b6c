"""Rows become what operators declare: event types and placements."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from app.entities import EventType
from app.errors import InvalidInputError
from app.intake.attributes import read_flag
from app.intake.values import quote, read_id, read_number
from app.store.placements import Settings

SettingsCheck = Callable[[str, Mapping[str, Any]], Settings]
"""Takes a placement's name and settings, gives all settings as they are stored; raises `InvalidInputError`.

From outside: what may stand in them, the serving path knows.
"""
MAX_WEIGHT = 2**53

Row = Mapping[str, Any]


def read_event_type(row: Row) -> EventType:
    weight = read_number(row.get("weight"), "weight")
    if abs(weight) > MAX_WEIGHT:
        raise InvalidInputError(f"{quote(weight)} is no weight: beyond 2^53", field="weight")
    return EventType(
        read_id(row.get("type"), "type"),
        weight,
        is_exposure=read_flag(row.get("is_exposure"), "is_exposure", default=False),
        is_consumption=read_flag(row.get("is_consumption"), "is_consumption", default=False),
    )


def read_placement(row: Row, check: SettingsCheck) -> tuple[str, Settings]:
    """The name, and the settings as they are stored."""
    name = read_id(row.get("placement"), "placement")
    settings = row.get("settings")
    if isinstance(settings, str):
        try:
            settings = json.loads(settings)
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"{quote(settings)} is not JSON", field="settings") from error
    if not isinstance(settings, dict):
        raise InvalidInputError(f"{quote(settings)} is no JSON object", field="settings")
    return name, check(name, settings)
