"""Events and event types: what users did, and how much each kind of event counts."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from app.api.access import needs
from app.api.idempotency import acts_once
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.api.schemas.events import (
    EventOut,
    EventsOut,
    EventsPage,
    EventTypeIn,
    EventTypeOut,
    EventTypesOut,
)
from app.entities import Event, to_microseconds
from app.errors import InvalidInputError, NotFoundError
from app.intake.received import EventIn, EventsIn
from app.intake.recording import ReceivedEvent, RowOutcome
from app.intake.rows import read_rows
from app.intake.value_types import Cursor, Id
from app.observability.metrics import Metrics
from app.serving.tokens import TokenSigner
from app.store import STORED
from app.store.events import EventTypeInUseError, TooManyEventTypesError

EventTypeName = Annotated[Id, Path(examples=["saved"])]

router = APIRouter(tags=["events"], route_class=StrictRoute)


@router.post(
    "/events",
    summary="Send up to 1,000 events",
    responses=responses(400, 413, 422, 503, 507),
    openapi_extra=needs("ratings:write", browser=True),
)
@acts_once
def post_events(request: Request, batch: EventsIn) -> EventsOut:
    """Checks each event separately, stores the valid ones in one transaction, each id of a user once, and reports the
    others.

    The user need not exist, nor the item, unless the service refuses unknown ones (`RECKON_UNKNOWN_ITEMS=reject`). The
    next answer for the user, from any process, takes the events into account. A late event counts at its own time.
    """
    service = service_of(request)
    rows = read_rows(batch.events, EventIn, EventIn.to_received)
    outcomes = service.event_recorder.record_batch(rows)
    _count(service.metrics, rows, outcomes)
    return EventsOut.from_outcomes(outcomes)


@router.delete(
    "/events/{event_id}",
    summary="Take an event back",
    status_code=204,
    responses=responses(422, 503),
    openapi_extra=needs("ratings:write"),
)
def delete_event(request: Request, event_id: Id) -> None:
    """204 also if there is no such event. The next answer for its user, and trends, know nothing of it any more.
    Ids are unique among the events of a user: where several users have an event with this id, all of these are taken
    back.

    Repeating the request that stored the event does not restore it, for 30 days.
    """
    service_of(request).event_recorder.remove(event_id)


@router.get(
    "/users/{user_id}/events",
    summary="List a user's events",
    responses=responses(404, 422, 503),
    openapi_extra=needs("ratings:write", "console"),
)
def get_events(
    request: Request,
    user_id: Id,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[Cursor | None, Query(description="`next_cursor` of the previous page")] = None,
) -> EventsPage:
    """Newest first, by the time at which they happened. Pages neither repeat nor skip events while others arrive."""
    service = service_of(request)
    listing = f"events of {user_id}"
    before = None if cursor is None else _read_place(service.tokens, listing, cursor)
    # One more than requested tells whether there is another page.
    page = service.store.events.page(user_id, before=before, limit=limit + 1)
    # Only an empty page needs the second read: a user with events exists.
    if not page and service.store.users.get(user_id) is None:
        raise NotFoundError("user", user_id)
    return _page_of(page, limit, listing, service.tokens)


@router.get(
    "/events", summary="List the events of all users", responses=responses(422, 503), openapi_extra=needs("console")
)
def get_all_events(
    request: Request,
    user_id: Annotated[Id | None, Query(description="Only events of this user", examples=["1"])] = None,
    item_id: Annotated[Id | None, Query(description="Only events of this item", examples=["318"])] = None,
    type: Annotated[  # noqa: A002  the parameter's name
        Id | None, Query(description="Only events of this declared type", examples=["clicked"])
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[Cursor | None, Query(description="`next_cursor` of the previous page")] = None,
) -> EventsPage:
    """Newest first, by the time at which they happened. Pages neither repeat nor skip events while others arrive. The
    list is empty for a user or an item that is not stored.
    """
    service = service_of(request)
    if type is not None and type not in (declared := [each.name for each in service.store.events.types().values()]):
        raise InvalidInputError(
            f"there is no event type {type!r}; declared are: {', '.join(declared)}", field="query.type"
        )
    # A cursor belongs to one listing with its filters. Used with others, it could skip events, so it is refused.
    listing = f"events {json.dumps([user_id, item_id, type])}"
    before = None if cursor is None else _read_place(service.tokens, listing, cursor)
    # One more than requested tells whether there is another page.
    page = service.store.events.page(user_id, item_id=item_id, type_=type, before=before, limit=limit + 1)
    return _page_of(page, limit, listing, service.tokens)


@router.get(
    "/event-types",
    summary="List the event types",
    responses=responses(422, 503),
    openapi_extra=needs("ratings:write", "catalogue:write", "console"),
)
def get_event_types(request: Request) -> EventTypesOut:
    event_types = service_of(request).store.events.types().values()
    return EventTypesOut(event_types=[EventTypeOut.from_event_type(each) for each in event_types])


@router.put(
    "/event-types/{name}",
    summary="Declare or change an event type",
    responses=responses(
        *(400, 409, 413, 422, 503, 507),
        also={201: {"model": EventTypeOut}},
        errors={"there are 100 types already": TooManyEventTypesError()},
    ),
    openapi_extra=needs("catalogue:write", audit="event-types.put"),
)
def put_event_type(request: Request, name: EventTypeName, body: EventTypeIn, response: Response) -> EventTypeOut:
    """201 if the type is new. A change applies at once, also to events stored before. 409 beyond 100 types."""
    event_type = body.to_entity(name)
    status = service_of(request).store.events.put_type(event_type)
    response.status_code = 201 if status == STORED else 200
    return EventTypeOut.from_event_type(event_type)


@router.delete(
    "/event-types/{name}",
    summary="Delete an event type",
    status_code=204,
    responses=responses(409, 422, 503, errors={"there are events of the type": EventTypeInUseError("clicked")}),
    openapi_extra=needs("catalogue:write", audit="event-types.delete"),
)
def delete_event_type(request: Request, name: EventTypeName) -> None:
    """204 also if there is no such type; 409 while there are events of the type."""
    service_of(request).store.events.delete_type(name)


def _page_of(events: Sequence[Event], limit: int, listing: str, tokens: TokenSigner) -> EventsPage:
    """Return the first `limit` of the events; one more than these means that there is another page."""
    last = events[limit - 1] if len(events) > limit else None
    next_cursor = None
    if last is not None:
        # No id contains a slash.
        next_cursor = tokens.moment(listing, to_microseconds(last.at), f"{last.event_id}/{last.user_id}")
    return EventsPage(events=[EventOut.from_event(event) for event in events[:limit]], next_cursor=next_cursor)


def _read_place(tokens: TokenSigner, listing: str, cursor: str) -> tuple[int, str, str]:
    """The time, the id and the user of the event after which the page begins."""
    at, identifiers = tokens.read_moment(listing, cursor)
    event_id, _, user_id = identifiers.partition("/")
    return at, event_id, user_id


def _count(metrics: Metrics, rows: Sequence[ReceivedEvent | str], outcomes: Sequence[RowOutcome]) -> None:
    # The type of a rejected event may be any text, and each label value makes a new time series.
    counts = Counter(
        ("" if isinstance(row, str) or outcome.status == "rejected" else row.type, outcome.status)
        for row, outcome in zip(rows, outcomes, strict=True)
    )
    for (type_, status), number in counts.items():
        metrics.count_events(type_, status, number)
