"""Events and event types."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.body import Body
from app.api.types import Finite, Id, Moment
from app.entities import Event, EventType
from app.intake.recording import ReceivedEvent, RowOutcome


class EventIn(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"event_id": "e-1", "type": "watched", "user_id": "ann", "item_id": "260", "portion": 0.8}]
        },
    )

    event_id: Id = Field(description="Chosen by the caller; an event whose id is stored already changes nothing")
    type: Id = Field(description="The name of a declared event type, see `GET /event-types`")
    user_id: Id
    item_id: Id
    at: Moment | None = Field(None, description="When it happened; now if absent. At most 5 minutes ahead")
    portion: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] | None = Field(
        None, description="How much was consumed, 0 to 1, for types that are a consumption; all of it if absent"
    )
    recommendation_id: Annotated[str, Field(strict=True, max_length=1_000)] | None = Field(
        None, description="The `recommendation_id` of the list that led to the event"
    )

    def to_received(self) -> ReceivedEvent:
        return ReceivedEvent(
            self.event_id, self.type, self.user_id, self.item_id, self.at, self.portion, self.recommendation_id
        )


class EventsIn(Body):
    # Any: each row is validated on its own, so that one bad row does not refuse the whole batch.
    events: list[Any] = Field(
        min_length=1,
        max_length=1_000,
        description="Up to 1,000 events, each `{event_id, type, user_id, item_id, at?, portion?, recommendation_id?}`",
        examples=[[{"event_id": "e-1", "type": "watched", "user_id": "ann", "item_id": "260", "portion": 0.8}]],
    )


class EventsOut(BaseModel):
    stored: int
    unchanged: int = Field(description="Events whose id was stored already")
    rejected: int
    results: list[RowOutcome]

    @classmethod
    def from_outcomes(cls, outcomes: Sequence[RowOutcome]) -> Self:
        counts = Counter(outcome.status for outcome in outcomes)
        return cls(
            stored=counts["stored"],
            unchanged=counts["unchanged"],
            rejected=counts["rejected"],
            results=list(outcomes),
        )


class EventOut(BaseModel):
    event_id: str = Field(examples=["e-1"])
    type: str = Field(examples=["watched"])
    item_id: str = Field(examples=["260"])
    at: datetime
    portion: float | None
    placement: str | None = Field(
        description="`placement` and `snapshot_version` of the recommendation that led to the event; null if none did"
    )
    snapshot_version: int | None

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
    name: str = Field(examples=["watched"])
    weight: float
    is_exposure: bool
    is_consumption: bool

    @classmethod
    def from_event_type(cls, event_type: EventType) -> Self:
        return cls(**{name: getattr(event_type, name) for name in cls.model_fields})


class EventTypesOut(BaseModel):
    event_types: list[EventTypeOut] = Field(description="In the order in which they were declared")
