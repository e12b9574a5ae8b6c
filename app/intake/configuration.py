"""Converts rows to what an operator configures: event types and placements."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from app.entities import EventType
from app.errors import InvalidInputError
from app.intake.cells.attributes import read_flag
from app.intake.cells.values import quote, read_id, read_number
from app.store.placements import Settings

# A callable, because the schema of the settings belongs to serving, which intake must not import.
SettingsCheck = Callable[[str, Mapping[str, Any]], Settings]
"""Takes the name and settings of a placement and returns the settings to store; raises `InvalidInputError`."""

MAX_WEIGHT = 2**53
"""Largest magnitude of a weight: up to here a float holds every integer exactly."""

Row = Mapping[str, Any]


def read_event_type(row: Row) -> EventType:
    """Convert a row with the columns type and weight, and optionally is_exposure and is_consumption (default false).

    Raises `InvalidInputError` where a value is missing or malformed.
    """
    weight = read_number(row.get("weight"), "weight")
    if abs(weight) > MAX_WEIGHT:
        raise InvalidInputError(f"{quote(weight)} is not a weight: it is beyond 2^53", field="weight")
    return EventType(
        read_id(row.get("type"), "type"),
        weight,
        is_exposure=read_flag(row.get("is_exposure"), "is_exposure", default=False),
        is_consumption=read_flag(row.get("is_consumption"), "is_consumption", default=False),
    )


def read_placement(row: Row, check: SettingsCheck) -> tuple[str, Settings]:
    """Convert a row with the columns placement and settings, a JSON object, to a name and the settings to store.

    Raises `InvalidInputError` where a value is missing or malformed, or `check` refuses the settings.
    """
    name = read_id(row.get("placement"), "placement")
    settings = row.get("settings")
    # CSV holds the object as JSON text; JSONL and Parquet hold it as an object.
    if isinstance(settings, str):
        try:
            settings = json.loads(settings)
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"{quote(settings)} is not JSON", field="settings") from error
    if not isinstance(settings, dict):
        raise InvalidInputError(f"{quote(settings)} is not a JSON object", field="settings")
    return name, check(name, settings)
