"""Events and event types."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.body import Body, DescribedAs, RowOutcomes
from app.entities import MAX_POSITION, Event, EventType
from app.intake.recording import ReceivedEvent, RowOutcome
from app.intake.value_types import Finite, Id, Integral, Moment


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
        max_length=1_000,
        description="Up to 1,000 events, each `{event_id, type, user_id, item_id, at?, portion?, recommendation_id?,"
        " placement?, position?}`",
        examples=[[{"event_id": "e-1", "type": "clicked", "user_id": "1", "item_id": "318"}]],
    )


class EventsOut(RowOutcomes):
    stored: int
    unchanged: int = Field(description="Events whose id was stored already")
    rejected: int
    results: list[RowOutcome]


class EventOut(BaseModel):
    event_id: str
    type: str
    user_id: str
    item_id: str
    at: datetime
    portion: float | None
    placement: str | None = Field(
        description="`placement` and `snapshot_version` of the recommendation that led to the event; null if none did"
    )
    snapshot_version: int | None
    position: int | None = Field(description="The place of the item in that list, from 0; null if not known")

    @classmethod
    def from_event(cls, event: Event) -> Self:
        return cls(**{name: getattr(event, name) for name in cls.model_fields})


class EventsPage(BaseModel):
    events: list[EventOut] = Field(description="Newest first")
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last page")


class EventTypeIn(Body):
    weight: Annotated[
        Finite,
        Field(
            description="How much one event counts for the item, as a multiple of a click; negative: against the item",
            examples=[2],
        ),
    ]
    is_exposure: bool = Field(False, strict=True, description="The user saw the item")
    is_consumption: bool = Field(False, strict=True, description="The user consumed the item, all of it or a `portion`")

    def to_entity(self, name: str) -> EventType:
        return EventType(name, float(self.weight), self.is_exposure, self.is_consumption)


class EventTypeOut(BaseModel):
    name: str = Field(examples=["saved"])
    weight: float
    is_exposure: bool
    is_consumption: bool

    @classmethod
    def from_event_type(cls, event_type: EventType) -> Self:
        return cls(**{name: getattr(event_type, name) for name in cls.model_fields})


class EventTypesOut(BaseModel):
    event_types: list[EventTypeOut] = Field(description="In the order in which they were declared")
