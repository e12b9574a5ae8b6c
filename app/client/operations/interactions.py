"""Ratings and events."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ..batches import RowOutcome, Sent, in_batches
from ..call import Call, Iteration, Procedure, Request, Steps, operation

RatingOrder = Literal["item", "time"]


@dataclass(frozen=True, slots=True)
class Rating:
    """A rating to be sent.

    `value`: on the service's rating scale; an amount; or 1 for a pair.
    `rated_at`: when it was given, with an offset; None means now.
    """

    user_id: str
    item_id: str
    value: float
    rated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredRating:
    """A rating as stored.

    `value`: None where the rating was deleted later than it was given.
    `rated_at`: None where it is not known.
    """

    user_id: str
    item_id: str
    value: float | None
    rated_at: datetime | None


@dataclass(frozen=True, slots=True)
class RatingsPage:
    """In the order in which the items became known."""

    ratings: tuple[StoredRating, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[StoredRating]:
        return iter(self.ratings)


@dataclass(frozen=True, slots=True)
class RatingsOutcome:
    """The outcome of a batch: counts, and one result a row."""

    stored: int
    replaced: int
    unchanged: int
    rejected: int
    results: tuple[RowOutcome, ...]


# An event has its id from the moment it is made, so that every attempt to send it sends the same one.
def _new_event_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Event:
    """An event to be sent.

    `at`: when it happened, with an offset; None means when it arrives.
    `portion`: how much was consumed, from 0 to 1; None means all.
    `recommendation_id`: of the answer that led to it.
    `placement`: of the list that led to it; the `recommendation_id` tells it where there is one.
    `position`: the place of the item in that list, from 0.
    `event_id`: the same id of the same user is the same event, and changes nothing. With ids of your own, a log can be
    sent twice.
    """

    type: str
    user_id: str
    item_id: str
    at: datetime | None = None
    portion: float | None = None
    recommendation_id: str | None = None
    event_id: str = field(default_factory=_new_event_id)
    placement: str | None = None
    position: int | None = None


@dataclass(frozen=True, slots=True)
class EventsOutcome:
    """The outcome of a batch: counts, and one result a row. `unchanged`: events whose id was known."""

    stored: int
    unchanged: int
    rejected: int
    results: tuple[RowOutcome, ...]


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as stored. `placement`, `snapshot_version`: of the recommendation that led to it.

    `position`: the place of the item in that list, from 0.
    `user_id`: empty where an older service does not send it.
    """

    event_id: str
    type: str
    item_id: str
    at: datetime
    portion: float | None
    placement: str | None
    snapshot_version: int | None
    user_id: str = ""
    # With a default, so that programs from before there were positions still make answers for their tests.
    position: int | None = None


@dataclass(frozen=True, slots=True)
class EventsPage:
    """Newest first."""

    events: tuple[StoredEvent, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[StoredEvent]:
        return iter(self.events)


@dataclass(frozen=True, slots=True)
class EventType:
    """A declared event type.

    `weight`: evidence of one event for the item, in multiples of a click; negative: against the item.
    `is_exposure`: the user saw the item.
    `is_consumption`: the user consumed the item, wholly or to a `portion`.
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


class InteractionOperations:
    # Repeatable also without `rated_at`: the same value again changes nothing.
    @operation("POST", "/ratings")
    def rate(self, user_id: str, item_id: str, value: float, rated_at: datetime | None = None) -> Request[StoredRating]:
        """Rate an item; user and item need not exist. The newest `rated_at` wins. Answers what is stored now."""
        body = {"user_id": user_id, "item_id": item_id, "value": value, "rated_at": rated_at}
        return Request(StoredRating, body=body)

    @operation("POST", "/ratings/batch")
    def rate_batch(self, ratings: Sequence[Rating]) -> Request[RatingsOutcome]:
        """Send up to 1,000 ratings in one request. Each row is checked separately. `rate_many` takes any number."""
        return Request(RatingsOutcome, body={"ratings": list(ratings)})

    @Procedure
    def rate_many(self, ratings: Iterable[Rating]) -> Steps[Sent[Rating]]:
        """Send any number of ratings, in batches of 1,000; rejected rows have their index in `ratings`."""
        return in_batches(ratings, InteractionOperations.rate_batch.call)

    @operation("GET", "/users/{user_id}/ratings")
    def ratings(
        self, user_id: str, *, sort: RatingOrder | None = None, limit: int | None = None, cursor: str | None = None
    ) -> Request[RatingsPage]:
        """A user's ratings, up to 1,000 a page.

        `sort`: `item`, in the order in which the items became known (the default), or `time`, newest first.
        """
        query = {"sort": sort, "limit": limit, "cursor": cursor}
        return Request(RatingsPage, path={"user_id": user_id}, query=query)

    @Iteration
    def iter_ratings(
        self, user_id: str, *, sort: RatingOrder | None = None, page_size: int = 1_000
    ) -> Call[RatingsPage]:
        """All ratings of a user, sorted as by `ratings`."""
        return InteractionOperations.ratings.call(user_id, sort=sort, limit=page_size)

    @operation("DELETE", "/users/{user_id}/ratings/{item_id}")
    def delete_rating(self, user_id: str, item_id: str) -> Request[None]:
        """Delete a rating. Succeeds also where there is none; a replay of the rating does not bring it back."""
        return Request(type(None), path={"user_id": user_id, "item_id": item_id})

    # Repeatable since each event has an id: the service stores it once.
    @operation("POST", "/events")
    def send_event_batch(self, events: Sequence[Event]) -> Request[EventsOutcome]:
        """Send up to 1,000 events in one request. Each row is checked separately. `send_events` takes any number."""
        return Request(EventsOutcome, body={"events": list(events)})

    @Procedure
    def send_events(self, events: Iterable[Event]) -> Steps[Sent[Event]]:
        """Send any number of events, in batches of 1,000; rejected rows have their index in `events`."""
        return in_batches(events, InteractionOperations.send_event_batch.call)

    @operation("DELETE", "/events/{event_id}")
    def delete_event(self, event_id: str) -> Request[None]:
        """Take an event back. Succeeds also where there is none; a replay of the event does not bring it back."""
        return Request(type(None), path={"event_id": event_id})

    @operation("GET", "/users/{user_id}/events")
    def events(self, user_id: str, *, limit: int | None = None, cursor: str | None = None) -> Request[EventsPage]:
        """A user's events, up to 1,000 a page, newest first."""
        return Request(EventsPage, path={"user_id": user_id}, query={"limit": limit, "cursor": cursor})

    @Iteration
    def iter_events(self, user_id: str, *, page_size: int = 1_000) -> Call[EventsPage]:
        """All events of a user, newest first."""
        return InteractionOperations.events.call(user_id, limit=page_size)

    @operation("GET", "/events")
    def all_events(
        self,
        *,
        user_id: str | None = None,
        item_id: str | None = None,
        type: str | None = None,  # noqa: A002  the name of the parameter
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Request[EventsPage]:
        """The events of all users, or of one user, item or type, up to 1,000 a page, newest first."""
        query = {"user_id": user_id, "item_id": item_id, "type": type, "limit": limit, "cursor": cursor}
        return Request(EventsPage, query=query)

    @Iteration
    def iter_all_events(
        self,
        *,
        user_id: str | None = None,
        item_id: str | None = None,
        type: str | None = None,  # noqa: A002  the name of the parameter
        page_size: int = 1_000,
    ) -> Call[EventsPage]:
        """All events, or all of a user, item or type, newest first."""
        return InteractionOperations.all_events.call(user_id=user_id, item_id=item_id, type=type, limit=page_size)

    @operation("GET", "/event-types")
    def event_types(self) -> Request[EventTypes]:
        """The declared event types."""
        return Request(EventTypes)

    @operation("PUT", "/event-types/{name}")
    def put_event_type(
        self, name: str, weight: float, *, is_exposure: bool = False, is_consumption: bool = False
    ) -> Request[EventType]:
        """Declare or change an event type. A change applies at once, also to events stored before."""
        body = {"weight": weight, "is_exposure": is_exposure, "is_consumption": is_consumption}
        return Request(EventType, path={"name": name}, body=body)

    @operation("DELETE", "/event-types/{name}")
    def delete_event_type(self, name: str) -> Request[None]:
        """Delete an event type. Raises `ConflictError` while events of this type are stored."""
        return Request(type(None), path={"name": name})
