"""Everything that is stored of a user, as one JSON document that is sent while it is read."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter
from pydantic_core import to_json

from app.api.access import needs
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.api.schemas.events import EventOut
from app.api.schemas.user_export import DeletedEventOut, MergedGuestOut, RatingExportOut, UserExportOut
from app.api.schemas.users import UserOut
from app.api.types import Id
from app.store.user_data import HeldOfUser, UserData

RATINGS, EVENTS = TypeAdapter(list[RatingExportOut]), TypeAdapter(list[EventOut])

router = APIRouter(prefix="/users", tags=["users"], route_class=StrictRoute)


@router.get(
    "/{user_id}/export",
    summary="Export everything that is stored of a user",
    response_model=UserExportOut,
    responses=responses(404, 422, 503),
    openapi_extra=needs("admin", audit="users.export"),
)
def export_user(request: Request, user_id: Id) -> StreamingResponse:
    """For a person who asks for their data, in a form that programs read. Ratings and events are sent as they are read,
    so that any number of them is possible; what is written meanwhile may be missing.
    """
    data = service_of(request).store.user_data
    # Read before the answer begins, since its status cannot change afterwards.
    held = data.held_of(user_id)
    headers = {"Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="user.json"'}
    return StreamingResponse(_written(held, data), media_type="application/json", headers=headers)


def _written(held: HeldOfUser, data: UserData) -> Iterator[bytes]:
    """The JSON of a `UserExportOut`, in parts."""
    document = {
        "user": UserOut.from_user(held.user),
        "merged_guests": [MergedGuestOut.from_dated(each) for each in held.merged_guests],
        "created_items": held.created_items,
        "deleted_events": [DeletedEventOut.from_dated(each) for each in held.deleted_events],
    }
    yield to_json(document).removesuffix(b"}")
    rated = ([RatingExportOut.from_rating(each) for each in page] for page in data.ratings(held.user_key))
    yield from _array(b"ratings", rated, RATINGS)
    happened = ([EventOut.from_event(each) for each in page] for page in data.events(held.user.user_id))
    yield from _array(b"events", happened, EVENTS)
    yield b"}"


def _array(name: bytes, pages: Iterable[list[Any]], adapter: TypeAdapter[Any]) -> Iterator[bytes]:
    """A field with an array of the entries of all pages, behind a comma."""
    yield b',"' + name + b'":['
    for number, page in enumerate(pages):
        yield (b"," if number else b"") + adapter.dump_json(page)[1:-1]
    yield b"]"
