from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidInputError
from app.intake.blocks import Block
from app.intake.events import EventReader, ReadEvents

NOW = 1_700_000_000_000_000
GOOD: dict[str, Any] = {"event_id": "e", "type": "watched", "user_id": "u", "item_id": "i", "at": "5"}


def read(*rows: dict[str, Any]) -> ReadEvents:
    columns = {name: [row.get(name) for row in rows] for row in rows for name in row}
    return EventReader(NOW, declared).read(Block("events.csv", columns, range(2, 2 + len(rows))))


def declared(name: str) -> None:
    if name not in {"watched", "7"}:
        raise InvalidInputError(f"there is no event type {name!r}", field="type")


def test_event_of_text() -> None:
    optional = {"portion": "0.25", "placement": "home", "snapshot_version": "12", "position": "3"}
    optional |= {"recommendation_id": "AAAA"}
    events = read(GOOD | {"at": "2020-02-29T01:02:03.000004+00:00"} | optional).events
    assert (events.event_id, events.type, events.user_id, events.item_id) == (["e"], ["watched"], ["u"], ["i"])
    assert (events.at.tolist(), events.portion.tolist()) == ([1_582_938_123_000_004], [0.25])
    assert (events.placement, events.snapshot_version, events.position) == (["home"], [12], [3])


def test_event_of_json() -> None:
    row = {"event_id": 5, "type": 7, "user_id": 1, "item_id": 2, "at": datetime(1969, 12, 31, tzinfo=UTC), "portion": 1}
    events = read(row).events
    assert (events.event_id, events.type, events.user_id, events.item_id) == (["5"], ["7"], ["1"], ["2"])
    assert (events.at.tolist(), events.portion.tolist()) == ([-86_400_000_000], [1.0])


@pytest.mark.parametrize("nothing", [None, ""])
def test_optional_fields_missing(nothing: str | None) -> None:
    events = read(GOOD | dict.fromkeys(("portion", "placement", "snapshot_version", "position"), nothing)).events
    assert np.isnan(events.portion).tolist() == [True]
    assert (events.placement, events.snapshot_version, events.position) == ([None], [None], [None])


def test_no_rows() -> None:
    result = EventReader(NOW, declared).read(Block("events.csv", dict.fromkeys(GOOD, ()), ()))
    assert (len(result.events), result.rejected) == (0, [])


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("event_id", "", "event_id: an id must have 1 to 128 characters"),
        ("event_id", "x" * 129, "event_id: an id must have 1 to 128 characters"),
        ("event_id", None, "event_id: None is not an id"),
        ("event_id", True, "event_id: True is not an id"),
        ("event_id", "a/b", "event_id: an id must not contain '/'"),
        ("event_id", "Caf\udce9", "event_id: 'Caf\\udce9' is not UTF-8"),
        ("type", "hummed", "type: there is no event type 'hummed'"),
        ("type", "Watched", "type: there is no event type 'Watched'"),
        ("type", ["watched"], "type: ['watched'] is not an id"),
        ("user_id", "a\0b", "user_id: an id must not contain control characters"),
        ("item_id", "a/b", "item_id: an id must not contain '/', begin"),
        ("at", "", "at: the time of the event is missing"),
        ("at", "soon", "at: 'soon' is not a time"),
        ("at", "-99999999999999999", "at: "),
        ("at", "1700000301", "at: is more than 5 minutes in the future"),
        ("at", "9999-12-31T23:59:59Z", "at: is more than 5 minutes in the future"),
        ("portion", "1.01", "portion: '1.01' is not a portion: it must be from 0 to 1"),
        ("portion", "-0.01", "portion: '-0.01' is not a portion"),
        ("portion", "nan", "portion: 'nan' is not a number"),
        ("portion", float("nan"), "portion: nan is not a finite number"),
        ("portion", True, "portion: True is not a number"),
        ("placement", "a\tb", "placement: an id must not contain control characters"),
        ("placement", 1.5, "placement: 1.5 is not an id"),
        ("snapshot_version", "1.5", "snapshot_version: '1.5' is not a snapshot version"),
        ("snapshot_version", "-1", "snapshot_version: '-1' is not a snapshot version"),
        ("snapshot_version", "1e300", "snapshot_version: '1e300' is not a snapshot version"),
        ("position", "top", "position: 'top' is not a number"),
        ("position", "0.5", "position: '0.5' is not a position: it must be a whole number from 0 to 1,000,000"),
        ("position", "1000001", "position: '1000001' is not a position"),
    ],
)
def test_bad_event_rejected(name: str, value: Any, reason: str) -> None:
    result = read(GOOD | {"event_id": "before"}, GOOD | {name: value}, GOOD | {"event_id": "behind"})
    assert result.events.event_id == ["before", "behind"]
    (rejected,) = result.rejected
    assert (rejected.file, rejected.line) == ("events.csv", 3)
    assert rejected.reason.startswith(reason)


def test_clocks_may_differ() -> None:
    assert len(read(GOOD | {"at": "1700000299"}).events) == 1


def test_derived_ids() -> None:
    row = {name: value for name, value in GOOD.items() if name != "event_id"}
    first, same, *others = read(
        row,
        row | {"at": "1970-01-01T00:00:05Z", "price": 9},
        *(row | {name: "7"} for name in ("type", "user_id", "item_id", "at")),
        row | {"portion": "0.5"},
        row | {"position": "0"},
        row | {"user_id": "ui", "item_id": "i"},
        row | {"user_id": "u", "item_id": "ii"},
    ).events.event_id
    assert same == first
    assert len({first, *others}) == 9
    # As earlier releases derived it: an old log imported again counts no row twice.
    assert first == "row-1707c555d4d2e151de61caf6ab5770b0"
    assert first == read(row).events.event_id[0]
