from typing import Any

import pytest

from app.entities import EventType
from app.errors import InvalidInputError
from app.intake.configuration import read_event_type, read_placement
from app.serving.placement_config import settings_to_store

TYPE: dict[str, Any] = {"type": "read", "weight": "-2.5", "is_exposure": "", "is_consumption": "yes"}


def test_event_type() -> None:
    assert read_event_type(TYPE) == EventType("read", -2.5, is_exposure=False, is_consumption=True)
    row = {"type": 7, "weight": 2, "is_exposure": True, "is_consumption": None, "description": "x"}
    assert read_event_type(row) == EventType("7", 2.0, is_exposure=True, is_consumption=False)


@pytest.mark.parametrize(
    ("name", "value", "field", "message"),
    [
        ("type", "", "type", "an id must have 1 to 128"),
        ("type", "a/b", "type", "must not contain '/'"),
        ("weight", "", "weight", "'' is not a number"),
        ("weight", None, "weight", "None is not a number"),
        ("weight", "inf", "weight", "'inf' is not a number"),
        ("weight", "1e300", "weight", "beyond 2"),
        ("is_exposure", "maybe", "is_exposure", "neither true nor false"),
        ("is_consumption", 2, "is_consumption", "neither true nor false"),
    ],
)
def test_bad_event_type(name: str, value: Any, field: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as raised:
        read_event_type(TYPE | {name: value})
    assert raised.value.field == field


@pytest.mark.parametrize("settings", ['{"diversity": 0.5}', {"diversity": 0.5}])
def test_placement(settings: Any) -> None:
    name, stored = read_placement({"placement": "home", "settings": settings}, settings_to_store)
    assert (name, stored["diversity"], stored["rotation"]) == ("home", 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "settings", "field", "message"),
    [
        ("Home", "{}", "placement", "a placement is called by"),
        ("ho\nme", "{}", "placement", "control characters"),
        ("a" * 65, "{}", "placement", "1 to 64"),
        ("", "{}", "placement", "an id must have"),
        ("home", "", "settings", "'' is not JSON"),
        ("home", "{", "settings", "'{' is not JSON"),
        ("home", "[" * 100_000, "settings", "is not JSON"),
        ("home", "[]", "settings", "not a JSON object"),
        ("home", None, "settings", "None is not a JSON object"),
        ("home", '{"sources": ["nearby"]}', "sources.0", "Input should be 'nearest'"),
        ("home", '{"sources": []}', "sources", "at least 1"),
        ("home", '{"colour": 1}', "colour", "Unexpected"),
        ("home", '{"diversity": NaN}', "diversity", "finite"),
        ("home", '{"diversity": "0.5"}', "diversity", "valid number"),
        ("home", '{"filter": "year >>"}', "filter", "at character 6"),
        ("home", '{"boost": "year"}', "boost", "'->' is missing"),
        ("home", '{"filter": "title contains \\"\udce9\\""}', "filter", "unicode"),
    ],
)
def test_bad_placement(name: str, settings: Any, field: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as raised:
        read_placement({"placement": name, "settings": settings}, settings_to_store)
    assert raised.value.field == field
