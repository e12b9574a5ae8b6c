"""Both kinds of clients on the real service: events and merges."""

from datetime import UTC, datetime, timedelta

import pytest

from app.client import ConflictError, Event, InvalidInputError, NotFoundError, Reckon

HOUR = timedelta(hours=1)


def test_stored_once(reckon: Reckon) -> None:
    event = Event("watched", "ann", "x", portion=0.5, event_id="e1")
    assert reckon.send_event_batch([event, event]).results[1].status == "unchanged"
    sent = reckon.send_events([event, Event("clicked", "ann", "x")])
    assert (sent.stored, sent.unchanged, sent.rejected) == (1, 1, ())
    stored = {event.event_id: event for event in reckon.events("ann").events}
    assert (stored["e1"].portion, stored["e1"].placement, len(stored)) == (0.5, None, 2)


def test_rejected(reckon: Reckon) -> None:
    rows = [
        Event("hummed", "ann", "x"),
        Event("clicked", "ann", "x"),
        Event("liked", "ann", "x", portion=0.5),
        Event("watched", "ann", "x", portion=2),
        Event("clicked", "ann", "x", at=datetime.now(UTC) + HOUR),
    ]
    sent = reckon.send_events(rows)
    assert [row.index for row in sent.rejected] == [0, 2, 3, 4]
    assert "no event type 'hummed'" in sent.rejected[0].problem
    assert sent.rejected[3].row is rows[4]


def test_newest_first(reckon: Reckon) -> None:
    now = datetime.now(UTC)
    reckon.send_events(Event("clicked", "ann", "x", at=now - n * HOUR, event_id=f"e{n}") for n in (2, 0, 3, 1))
    assert [event.event_id for event in reckon.iter_events("ann", page_size=3)] == ["e0", "e1", "e2", "e3"]
    with pytest.raises(NotFoundError):
        reckon.events("nobody")


def test_consumed_is_not_recommended(reckon: Reckon) -> None:
    for item_id in ("x", "y"):
        reckon.put_item(item_id)
    answer = reckon.recommendations("ann")
    bought = Event("bought", "ann", "x", recommendation_id=answer.recommendation_id, position=0)
    assert reckon.send_events([bought]).stored == 1
    assert [item.item_id for item in reckon.recommendations("ann")] == ["y"]
    stored = reckon.events("ann").events[0]
    assert (stored.placement, stored.position) == ("home", 0)


def test_event_types(reckon: Reckon) -> None:
    declared = [each.name for each in reckon.event_types()]
    assert declared == ["shown", "clicked", "liked", "disliked", "watched", "bought"]
    made = reckon.put_event_type("shared", 1.5)
    assert (made.weight, made.is_exposure, made.is_consumption) == (1.5, False, False)
    reckon.send_events([Event("shared", "ann", "x")])
    with pytest.raises(ConflictError):
        reckon.delete_event_type("shared")
    reckon.delete_user("ann")
    for _ in range(2):
        reckon.delete_event_type("shared")


def test_guest_becomes_user(reckon: Reckon) -> None:
    reckon.put_user("guest", country="FI", attributes={"age": 31, "plan": "free"})
    reckon.put_user("ann", attributes={"plan": "paid"})
    reckon.rate("ann", "x", 5, datetime.now(UTC) - HOUR)
    reckon.rate("guest", "x", 1)
    reckon.rate("guest", "y", 4)
    reckon.send_events([Event("clicked", "guest", "x")])
    merged = reckon.merge_guest("ann", "guest")
    assert (merged.ratings, merged.events) == (2, 1)
    assert (merged.user.country, dict(merged.user.attributes)) == ("FI", {"age": 31, "plan": "paid"})
    assert {rating.item_id: rating.value for rating in reckon.iter_ratings("ann")} == {"x": 1, "y": 4}
    assert len(reckon.events("ann").events) == 1
    with pytest.raises(NotFoundError):
        reckon.merge_guest("ann", "guest")
    with pytest.raises(InvalidInputError):
        reckon.merge_guest("ann", "ann")
