"""Everything that is stored of a user, as one JSON document that is sent while it is read."""

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from app.entities import Event
from app.store.user_data import ExportedRating, UserData

RATINGS, EVENTS = TypeAdapter(list[ExportedRating]), TypeAdapter(list[Event])
FILE_NAME = "user.json"


def user_document(user_id: str, data: UserData) -> Iterator[bytes]:
    """The document in parts. Ratings and events are read page by page; what is written meanwhile may be missing.

    Raises `NotFoundError` for an unknown user, before the first part is asked for.
    """
    held = data.held_of(user_id)
    document = {
        "user": {"user_id": held.user.user_id, "country": held.user.country, "attributes": held.user.attributes},
        "merged_guests": [{"guest_id": each.identifier, "merged_at": each.at} for each in held.merged_guests],
        "created_items": held.created_items,
        "deleted_events": [{"event_id": each.identifier, "deleted_at": each.at} for each in held.deleted_events],
    }

    def parts() -> Iterator[bytes]:
        yield to_json(document).removesuffix(b"}")
        yield from _array(b"ratings", data.ratings(held.user_key), RATINGS)
        yield from _array(b"events", data.events(user_id), EVENTS)
        yield b"}"

    return parts()


def _array(name: bytes, pages: Iterable[list[Any]], adapter: TypeAdapter[Any]) -> Iterator[bytes]:
    """A field with an array of the entries of all pages, behind a comma."""
    yield b',"' + name + b'":['
    for number, page in enumerate(pages):
        yield (b"," if number else b"") + adapter.dump_json(page)[1:-1]
    yield b"]"
