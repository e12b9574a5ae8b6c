"""What happened: shown, clicked, liked, watched, bought, or whatever types are declared."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ..batches import RowOutcome, Sent, in_batches
from ..call import Call, Iteration, Procedure, Request, Steps, operation


def _new_event_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Event:
    """`at`: when it happened, with an offset; when it arrives, where None. `portion`: 0 to 1, how much was consumed.

    `recommendation_id`: of the answer that led to it. `event_id`: the same one again is the same event, and changes
    nothing; one of your own lets you send a log twice.
    """

    type: str
    user_id: str
    item_id: str
    at: datetime | None = None
    portion: float | None = None
    recommendation_id: str | None = None
    event_id: str = field(default_factory=_new_event_id)


@dataclass(frozen=True, slots=True)
class EventsOutcome:
    """What became of a batch, row by row in `results`. `unchanged`: events whose id was known."""

    stored: int
    unchanged: int
    rejected: int
    results: tuple[RowOutcome, ...]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """`placement`, `snapshot_version`: of the recommendation that led to it."""

    event_id: str
    type: str
    item_id: str
    at: datetime
    portion: float | None
    placement: str | None
    snapshot_version: int | None


@dataclass(frozen=True, slots=True)
class EventsPage:
    """Newest first."""

    events: tuple[StoredEvent, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[StoredEvent]:
        return iter(self.events)


@dataclass(frozen=True, slots=True)
class EventType:
    """`weight`: how much one says for the item, as a multiple of a click; negative: against it.

    `is_exposure`: the user saw the item. `is_consumption`: the user had it, wholly or to a `portion`.
    """

    name: str
    weight: float
    is_exposure: bool
    is_consumption: bool


@dataclass(frozen=True, slots=True)
class EventTypes:
    """In the order in which they were declared."""

    event_types: tuple[EventType, ...]

    def __iter__(self) -> Iterator[EventType]:
        return iter(self.event_types)


class EventOperations:
    @operation("POST", "/events", is_repeatable=True)
    def send_event_batch(self, events: Sequence[Event]) -> Request[EventsOutcome]:
        """Say what happened, up to 1,000 events in one request. `send_events` takes any number."""
        return Request(EventsOutcome, body={"events": list(events)})

    @Procedure
    def send_events(self, events: Iterable[Event]) -> Steps[Sent[Event]]:
        """Any number of events, in batches of 1,000; names the rejected ones by their index in `events`."""
        return in_batches(events, EventOperations.send_event_batch.call)

    @operation("GET", "/users/{user_id}/events")
    def events(self, user_id: str, *, limit: int | None = None, cursor: str | None = None) -> Request[EventsPage]:
        """A user's events, up to 1,000 a page, newest first."""
        return Request(EventsPage, path={"user_id": user_id}, query={"limit": limit, "cursor": cursor})

    @Iteration
    def iter_events(self, user_id: str, *, page_size: int = 1_000) -> Call[EventsPage]:
        """All events of a user, newest first."""
        return EventOperations.events.call(user_id, limit=page_size)

    @operation("GET", "/event-types")
    def event_types(self) -> Request[EventTypes]:
        """The declared event types."""
        return Request(EventTypes)

    @operation("PUT", "/event-types/{name}")
    def put_event_type(
        self, name: str, weight: float, *, is_exposure: bool = False, is_consumption: bool = False
    ) -> Request[EventType]:
        """Declare or change an event type. What changes holds at once, for events stored before, too."""
        body = {"weight": weight, "is_exposure": is_exposure, "is_consumption": is_consumption}
        return Request(EventType, path={"name": name}, body=body)

    @operation("DELETE", "/event-types/{name}")
    def delete_event_type(self, name: str) -> Request[None]:
        """Delete an event type; raises `ConflictError` while there are events of it."""
        return Request(type(None), path={"name": name})
