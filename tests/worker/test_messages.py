"""What a message says. The rows themselves are checked as in requests, see tests/api."""

import json
from typing import Any

import pytest

from app.entities import Rating
from app.errors import InvalidInputError, ReckonError
from app.intake.json_limits import MAX_BODY_BYTES
from app.settings import Settings
from app.worker.messages import TENANT_HEADER, MessageKind, TopicMessage, kinds_of, read_message

RATING = {"user_id": "ann", "item_id": "dune", "value": 4}
EVENT = {"event_id": "e1", "type": "clicked", "user_id": "ann", "item_id": "dune"}
AT = 1_750_000_000_000_000


def message(body: Any, **fields: Any) -> TopicMessage:
    given: dict[str, Any] = {"topic": "t", "partition": 0, "offset": 7, "sent_at": AT, "key": None, "headers": ()}
    encoded = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    return TopicMessage(body=encoded, **given | fields)


@pytest.mark.parametrize(("kind", "row"), [("ratings", RATING), ("events", EVENT)])
def test_bodies(kind: MessageKind, row: dict[str, Any]) -> None:
    """A row, a list, or the body of the API."""
    for body, n, is_list in ((row, 1, False), ([row, row], 2, True), ({kind: [row]}, 1, True)):
        read = read_message(message(body), kind)
        assert (len(read.ratings), len(read.events)) == ((n, 0) if kind == "ratings" else (0, n))
        assert (read.is_list, read.refused, read.sent_at, read.tenant) == (is_list, [], AT, None)
    assert [index for index, _ in read_message(message([row, {}, row, 5]), kind).refused] == [1, 3]


def test_rows_are_read() -> None:
    read = read_message(message(RATING), "ratings")
    assert read.ratings == [(0, Rating("ann", "dune", 4.0, None))]
    assert [event.event_id for _, event in read_message(message(EVENT), "events").events] == ["e1"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "has no body"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100, "nested"),
        (b"9" * 5_000, "not JSON"),
        (b"0" * (MAX_BODY_BYTES + 1), "at most 1,048,576 bytes, and this one has 1,048,577"),
        ([RATING] * 1_001, "at most 1000 items"),
        ({"ratings": RATING}, "valid list"),
        ({f"k{n}": 1 for n in range(300)}, "at most 256 fields"),
    ],
)
def test_refused(body: Any, reason: str) -> None:
    with pytest.raises(ReckonError, match=reason):
        read_message(message(body), "ratings")


def test_empty_lists_are_as_in_requests() -> None:
    assert read_message(message([]), "ratings").given == []
    with pytest.raises(InvalidInputError, match="at least 1 item"):
        read_message(message([]), "events")


def test_refused_rows() -> None:
    """A row by itself is refused like one of a list; the reasons are those of the API."""
    rows = [7, RATING | {"value": "4"}, RATING | {"x": 1}, RATING | {"user_id": ""}, RATING | {"value": float("inf")}]
    read = read_message(message(rows), "ratings")
    assert [index for index, _ in read.refused] == [0, 1, 2, 3, 4]
    assert [reason.partition(":")[0] for _, reason in read.refused] == ["row", "value", "x", "user_id", "value"]
    assert read_message(message(rows[0]), "ratings").refused == [(0, "row: it is not an object")]


@pytest.mark.parametrize(
    ("headers", "tenant"),
    [((), None), ([(TENANT_HEADER, b"shop")], "shop"), ([("other", None)], None), ([(TENANT_HEADER, None)], "")],
)
def test_tenant(headers: Any, tenant: str | None) -> None:
    assert read_message(message(RATING, headers=headers), "ratings").tenant == tenant


@pytest.mark.parametrize("values", [(b"\xff",), (b"a", b"b")])
def test_tenant_not_clear(values: tuple[bytes, ...]) -> None:
    with pytest.raises(InvalidInputError, match=TENANT_HEADER):
        read_message(message(RATING, headers=[(TENANT_HEADER, value) for value in values]), "ratings")


def test_no_timestamp() -> None:
    """A replay could not be told from a new rating."""
    with pytest.raises(InvalidInputError, match="timestamp"):
        read_message(message(RATING, sent_at=None), "ratings")


def test_topics() -> None:
    assert kinds_of(Settings()) == {"reckon.ratings": "ratings", "reckon.events": "events"}
    assert kinds_of(Settings(kafka_ratings_topic="")) == {"reckon.events": "events"}
    with pytest.raises(InvalidInputError, match="name no topic"):
        kinds_of(Settings(kafka_ratings_topic="", kafka_events_topic=""))
    for same in ("reckon.ratings", "reckon.dead-letters"):
        with pytest.raises(InvalidInputError, match="different"):
            kinds_of(Settings(kafka_events_topic=same))
