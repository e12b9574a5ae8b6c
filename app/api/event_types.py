"""What kinds of events there are, and what each says of a taste."""

from fastapi import APIRouter, Response

from app.api.problems import responses
from app.api.schemas.events import EventTypeIn, EventTypeOut, EventTypesOut
from app.api.strict_route import StrictRoute
from app.api.types import Id
from app.store import STORED
from app.store.events import Events


def event_types_router(events: Events) -> APIRouter:
    router = APIRouter(prefix="/event-types", tags=["events"], route_class=StrictRoute)

    @router.get("", summary="The declared event types", responses=responses(422, 503))
    def get_event_types() -> EventTypesOut:
        return EventTypesOut(event_types=[EventTypeOut.of(declared) for declared in events.types().values()])

    @router.put(
        "/{name}",
        summary="Declare or change an event type",
        responses=responses(400, 409, 413, 422, 503, 507, also={201: {"model": EventTypeOut}}),
    )
    def put_event_type(name: Id, body: EventTypeIn, response: Response) -> EventTypeOut:
        """201 when new. What changes holds at once, for events stored before, too. 409 beyond 100 types."""
        declared = body.to_entity(name)
        response.status_code = 201 if events.put_type(declared) == STORED else 200
        return EventTypeOut.of(declared)

    @router.delete("/{name}", summary="Delete an event type", status_code=204, responses=responses(409, 422, 503))
    def delete_event_type(name: Id) -> None:
        """204 also when there is none; 409 while there are events of it."""
        events.delete_type(name)

    return router
