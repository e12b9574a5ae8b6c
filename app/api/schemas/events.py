"""Events and event types."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field

from app.api.schemas.body import RowOutcomes
from app.entities import Event, EventType
from app.intake.recording import RowOutcome
from app.intake.rows import Body
from app.intake.value_types import Finite


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
