"""For whom a list is made: a stored user, or a guest who is known by what the body holds.

Lists of a body are marked `FailFast`: the answer names the first row that is wrong. To describe all errors of 1,000
rows would take 0.1 s, and hold up all requests.
"""

from typing import Annotated, Self

from pydantic import BaseModel, FailFast, Field, model_validator

from app.entities import Rating, RatingScale, to_microseconds
from app.errors import InvalidInputError
from app.intake.ratings import FUTURE_TOLERANCE_MICROSECONDS
from app.intake.rows import Body
from app.intake.value_types import VALUE, Finite, Id, Moment
from app.serving.catalogue import Catalogue
from app.serving.guests import GuestEvent
from app.serving.interactions import VIEWED, EventTypeIndex

MAX_RATINGS = MAX_EVENTS = 1_000


class GuestRating(Body):
    item_id: Id
    value: Annotated[Finite, Field(description=VALUE, examples=[4.5])]


class PastEvent(Body):
    """Something that a guest did."""

    type: Annotated[Id, Field(description="The name of a declared event type", examples=["watched"])]
    item_id: Id
    at: Annotated[Moment | None, Field(description="When it happened; for all events or for none")] = None
    portion: Annotated[
        float | None,
        Field(strict=True, ge=0, le=1, description="How much was consumed, for types that are a consumption"),
    ] = None


class Recipient(BaseModel):
    """The user for whom a list is made: a stored user, or a guest with ratings, events and items looked at."""

    user_id: Id | None = None
    ratings: Annotated[
        list[GuestRating],
        FailFast(),
        Field(
            max_length=MAX_RATINGS,
            description="Newest first, all older than the events; unknown items are ignored. Nothing is stored",
        ),
    ] = []
    events: Annotated[
        list[PastEvent],
        FailFast(),
        Field(
            max_length=MAX_EVENTS,
            description="What the guest did, as in `POST /events`; newest first, unless they have times. Unknown items"
            " are ignored. Nothing is stored",
            examples=[[{"type": "watched", "item_id": "318"}]],
        ),
    ] = []
    viewed_item_ids: Annotated[
        list[Id],
        FailFast(),
        Field(
            max_length=MAX_EVENTS,
            description="The items that the guest looked at in this session, newest first: events of weight 1 each, as"
            " clicks are by default, newer than `events` without times. Unknown items are ignored. Nothing is stored",
            examples=[["318", "1"]],
        ),
    ] = []

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.user_id is not None and (self.ratings or self.events or self.viewed_item_ids):
            raise ValueError("give either a user_id or ratings, events and viewed_item_ids")
        return self

    @model_validator(mode="after")
    def _all_times_or_none(self) -> Self:
        if len({event.at is None for event in self.events}) > 1:
            raise ValueError("give the time `at` of all events or of none")
        return self

    def happened(self, event_types: EventTypeIndex, now: int) -> tuple[GuestEvent, ...]:
        """Return what the guest did. `now`: microseconds UTC.

        Raises `InvalidInputError` for an event that `POST /events` would not store.
        """
        # What has no time was a microsecond before what comes before it in the list.
        viewed = [GuestEvent(VIEWED, item_id, now - place) for place, item_id in enumerate(self.viewed_item_ids)]
        events = [
            _guest_event(event, place, event_types, now, now - len(viewed) - place)
            for place, event in enumerate(self.events)
        ]
        return (*viewed, *events)

    def ignored(self, catalogue: Catalogue) -> list[str]:
        """Return the ids of the guest's items that do not exist, each once."""
        ids = self.viewed_item_ids + [event.item_id for event in self.events]
        ids += [rating.item_id for rating in self.ratings]
        return [item_id for item_id in dict.fromkeys(ids) if catalogue.row_of_id(item_id) is None]

    def rated(self, scale: RatingScale) -> tuple[Rating, ...]:
        """Return the guest's ratings. Raises `InvalidInputError` for a value that is not on the scale."""
        # The newest comes first, so the first rating of each item counts.
        newest: dict[str, Rating] = {}
        for place, rating in enumerate(self.ratings):
            value = scale.check(float(rating.value), f"body.ratings.{place}.value")
            newest.setdefault(rating.item_id, Rating("", rating.item_id, value))
        return tuple(newest.values())


def _guest_event(event: PastEvent, place: int, event_types: EventTypeIndex, now: int, default_at: int) -> GuestEvent:
    where = f"body.events.{place}"
    declared = event_types.by_name.get(event.type)
    if declared is None:
        names = ", ".join(event_types.by_name)
        message = f"there is no event type {event.type!r}; declared are: {names}"
        raise InvalidInputError(message, field=f"{where}.type")
    type_key, kind = declared
    if event.portion is not None and not kind.is_consumption:
        message = f"a {event.type!r} has no portion: its type is no consumption"
        raise InvalidInputError(message, field=f"{where}.portion")
    at = default_at if event.at is None else to_microseconds(event.at)
    if at - now > FUTURE_TOLERANCE_MICROSECONDS:
        raise InvalidInputError("at is more than 5 minutes ahead of the server's clock", field=f"{where}.at")
    return GuestEvent(type_key, event.item_id, at, event.portion)
