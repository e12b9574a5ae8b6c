"""Ratings and events as they are sent, in requests and in messages: what their JSON must be."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from app.entities import MAX_POSITION, Rating
from app.intake.recording import ReceivedEvent
from app.intake.rows import Body, DescribedAs
from app.intake.value_types import VALUE, Finite, Id, Integral, Moment

MAX_ROWS = 1_000
"""Of one batch."""


class RatingIn(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "1", "item_id": "318", "value": 5}]},
    )

    user_id: Id
    item_id: Id
    value: Annotated[Finite, Field(description=VALUE, examples=[4.5])]
    rated_at: Moment | None = Field(
        None, description="When the user rated the item; now if absent. At most 5 minutes ahead, which counts as now"
    )

    def to_entity(self) -> Rating:
        return Rating(self.user_id, self.item_id, float(self.value), self.rated_at)


class RatingsIn(Body):
    ratings: list[Annotated[Any, DescribedAs(RatingIn)]] = Field(
        max_length=MAX_ROWS,
        description="Up to 1,000 ratings, each as for `POST /ratings` and checked separately",
        examples=[[{"user_id": "1", "item_id": "318", "value": 5}]],
    )


class EventIn(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"event_id": "e-1", "type": "clicked", "user_id": "1", "item_id": "318"}]},
    )

    event_id: Id = Field(description="Chosen by the caller; an event whose id the user has already changes nothing")
    type: Id = Field(description="The name of a declared event type, see `GET /event-types`")
    user_id: Id
    item_id: Id
    at: Moment | None = Field(
        None, description="When it happened; now if absent. At most 5 minutes ahead, which counts as now"
    )
    portion: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] | None = Field(
        None, description="How much was consumed, 0 to 1, for types that are a consumption; all of it if absent"
    )
    recommendation_id: Annotated[str, Field(strict=True, max_length=1_000)] | None = Field(
        None, description="The `recommendation_id` of the list that led to the event"
    )
    placement: Id | None = Field(
        None,
        description="The placement of the list that led to the event, where there is no `recommendation_id` to tell it;"
        " with one, the two must agree",
        examples=["home"],
    )
    position: Annotated[int, Field(strict=True, ge=0, le=MAX_POSITION), Integral] | None = Field(
        None,
        description="The place of the item in the list that led to the event, from 0; needs a `recommendation_id` or a"
        " `placement`",
        examples=[0],
    )

    def to_received(self) -> ReceivedEvent:
        return ReceivedEvent(**{name: getattr(self, name) for name in type(self).model_fields})


class EventsIn(Body):
    events: list[Annotated[Any, DescribedAs(EventIn)]] = Field(
        min_length=1,
        max_length=MAX_ROWS,
        description="Up to 1,000 events, each `{event_id, type, user_id, item_id, at?, portion?, recommendation_id?,"
        " placement?, position?}`",
        examples=[[{"event_id": "e-1", "type": "clicked", "user_id": "1", "item_id": "318"}]],
    )
