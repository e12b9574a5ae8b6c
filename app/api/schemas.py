"""Bodies of requests and answers. They never leave this folder: handlers turn them into entities and back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from app.api.asked import ListBody, ListWishes
from app.api.types import Attributes, Category, Finite, Id, Moment, Name
from app.entities import Event, EventType, Item, Rating, User
from app.serving.placement import Placement
from app.serving.predictions import Prediction
from app.serving.query import ExplainedRecommendations, Recommendations
from app.store import Job, SnapshotEntry

Outcome = Literal["stored", "replaced", "unchanged", "rejected"]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class RatingIn(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "ann", "item_id": "260", "value": 5}]},
    )

    user_id: Id
    item_id: Id
    value: Annotated[Finite, Field(description="On the service's rating scale", examples=[4.5])]
    rated_at: Moment | None = Field(None, description="When it was said; now, where absent. At most 5 minutes ahead")


class RatingOut(BaseModel):
    """What is stored now."""

    user_id: str = Field(examples=["ann"])
    item_id: str = Field(examples=["260"])
    value: float | None = Field(
        description="Null: the rating was deleted later than this one was given", examples=[5.0]
    )
    rated_at: datetime | None = Field(description="Null where the time is not known")

    @classmethod
    def of(cls, rating: Rating) -> Self:
        return cls(user_id=rating.user_id, item_id=rating.item_id, value=rating.value, rated_at=rating.rated_at)


class RatingsIn(Body):
    ratings: list[Any] = Field(
        max_length=1_000,
        description="Up to 1,000 ratings, each as for `POST /ratings`; each is judged by itself",
        examples=[[{"user_id": "ann", "item_id": "260", "value": 5}]],
    )


@dataclass(slots=True)
class RowOutcome:
    """A dataclass, not a Pydantic class: a thousand of them are made a request."""

    index: int
    status: Outcome
    problem: str | None = None


class RatingsOut(BaseModel):
    stored: int
    replaced: int
    unchanged: int
    rejected: int
    results: list[RowOutcome]


class RatingsPage(BaseModel):
    ratings: list[RatingOut]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last")


class EventIn(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"event_id": "e-1", "type": "watched", "user_id": "ann", "item_id": "260", "portion": 0.8}]
        },
    )

    event_id: Id = Field(description="The caller's own: the same id again is the same event, and changes nothing")
    type: Id = Field(description="The name of a declared type, as of `GET /event-types`")
    user_id: Id
    item_id: Id
    at: Moment | None = Field(None, description="When it happened; now, where absent. At most 5 minutes ahead")
    portion: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] | None = Field(
        None, description="How much was consumed, 0 to 1; for types that are a consumption. All of it, where absent"
    )
    recommendation_id: Annotated[str, Field(strict=True, max_length=1_000)] | None = Field(
        None, description="Of the answer that led to it"
    )


class EventsIn(Body):
    events: list[Any] = Field(
        min_length=1,
        max_length=1_000,
        description="Up to 1,000 events, each `{event_id, type, user_id, item_id, at?, portion?, recommendation_id?}`",
        examples=[[{"event_id": "e-1", "type": "watched", "user_id": "ann", "item_id": "260", "portion": 0.8}]],
    )


class EventsOut(BaseModel):
    stored: int
    unchanged: int = Field(description="Events whose id was known")
    rejected: int
    results: list[RowOutcome]


class EventOut(BaseModel):
    event_id: str = Field(examples=["e-1"])
    type: str = Field(examples=["watched"])
    item_id: str = Field(examples=["260"])
    at: datetime
    portion: float | None
    placement: str | None = Field(description="This and the next: of the recommendation that led to it")
    snapshot_version: int | None

    @classmethod
    def of(cls, event: Event) -> Self:
        return cls(**{name: getattr(event, name) for name in cls.model_fields})


class EventsPage(BaseModel):
    events: list[EventOut] = Field(description="Newest first")
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last")


class EventTypeIn(Body):
    weight: Annotated[
        Finite,
        Field(
            description="How much one says for the item, as a multiple of a click; negative: against it", examples=[2]
        ),
    ]
    is_exposure: bool = Field(False, strict=True, description="The user saw the item")
    is_consumption: bool = Field(False, strict=True, description="The user had the item, wholly or to a `portion`")

    def to_entity(self, name: str) -> EventType:
        return EventType(name, float(self.weight), self.is_exposure, self.is_consumption)


class EventTypeOut(BaseModel):
    name: str = Field(examples=["watched"])
    weight: float
    is_exposure: bool
    is_consumption: bool

    @classmethod
    def of(cls, declared: EventType) -> Self:
        return cls(**{name: getattr(declared, name) for name in cls.model_fields})


class EventTypesOut(BaseModel):
    event_types: list[EventTypeOut] = Field(description="In the order in which they were declared")


class UserIn(Body):
    country: Name | None = Field(None, examples=["FI"])
    attributes: Attributes = Field(default_factory=dict, examples=[{"age": 31, "gender": "F"}])

    def to_entity(self, user_id: str) -> User:
        return User(user_id, self.country, dict(self.attributes))


class UserOut(BaseModel):
    user_id: str = Field(examples=["ann"])
    country: str | None
    attributes: dict[str, Any]

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(user_id=user.user_id, country=user.country, attributes=user.attributes)


class MergeOut(BaseModel):
    user: UserOut
    ratings: int = Field(description="Ratings and deletions of the guest that are the user's now, being newer or new")
    events: int = Field(description="Events of the guest, all of which are the user's now")


class ItemIn(Body):
    title: Name | None = Field(None, examples=["Star Wars"])
    categories: list[Category] = Field(default_factory=list, max_length=50, examples=[["Action", "Sci-Fi"]])
    year: Annotated[int, Field(strict=True, ge=-10_000, le=10_000)] | None = Field(None, examples=[1977])
    attributes: Attributes = Field(default_factory=dict, examples=[{"minutes": 121, "languages": ["en"]}])
    is_available: bool = Field(True, strict=True)
    available_until: Moment | None = None
    created_by: Id | None = Field(None, description="The user who made it")
    added_at: Moment | None = None

    def to_entity(self, item_id: str) -> Item:
        return Item(
            item_id=item_id,
            title=self.title,
            categories=tuple(dict.fromkeys(self.categories)),
            year=self.year,
            attributes=dict(self.attributes),
            is_available=self.is_available,
            available_until=self.available_until,
            created_by=self.created_by,
            added_at=self.added_at,
        )


class ItemOut(BaseModel):
    item_id: str = Field(examples=["260"])
    title: str | None = Field(description="Null for an item known only from ratings")
    categories: list[str]
    year: int | None
    attributes: dict[str, Any]
    is_available: bool
    available_until: datetime | None
    created_by: str | None
    added_at: datetime | None

    @classmethod
    def of(cls, item: Item) -> Self:
        return cls(
            item_id=item.item_id,
            title=item.title,
            categories=list(item.categories),
            year=item.year,
            attributes=item.attributes,
            is_available=item.is_available,
            available_until=item.available_until,
            created_by=item.created_by,
            added_at=item.added_at,
        )


class ItemsPage(BaseModel):
    items: list[ItemOut]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last")


class TrainingJobIn(Body):
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] | None = Field(
        None, description="Of all that is random in the run; the same data and seed give the same snapshot"
    )
    recipe: dict[str, Any] | None = Field(
        None,
        description="What to learn, as in a snapshot's card; the service's own recipe unless said",
        examples=[
            {"segments": [{"name": "rating", "algorithm": "funk_svd"}, {"name": "prior", "algorithm": "popularity"}]}
        ],
    )


class TrainingJobOut(BaseModel):
    job_id: str
    state: Literal["queued", "running", "succeeded", "rejected", "failed"]
    trigger: str = Field(description="Why: `request`, `changes`, `interval`, ...")
    reason: str | None = Field(description="Of a rejection, a failure or a fallback")
    stage: str | None
    progress: float = Field(description="0 to 1")
    snapshot_version: int | None
    attempts: int
    seed: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(**{name: getattr(job, name) for name in cls.model_fields})


class SnapshotOut(BaseModel):
    version: int
    created_at: datetime
    is_live: bool = Field(description="Answers come from this one")
    is_pinned: bool = Field(description="Made live by hand: stays live until `latest` is activated")
    card: dict[str, Any] = Field(description="What it was made from, how, and how good it is")

    @classmethod
    def of(cls, entry: SnapshotEntry) -> Self:
        return cls(
            version=entry.version,
            created_at=entry.created_at,
            is_live=entry.is_live,
            is_pinned=entry.is_pinned,
            card=entry.card,
        )


class SnapshotsOut(BaseModel):
    snapshots: list[SnapshotOut] = Field(description="Newest first")


class PlacementOut(BaseModel):
    name: str = Field(examples=["home"])
    settings: Placement


class PlacementsOut(BaseModel):
    placements: list[PlacementOut]


class PreviewIn(ListBody):
    user_id: Id
    settings: Placement | None = Field(None, description="Those to try out; null: those stored")


class BatchIn(ListWishes):
    model_config = ConfigDict(strict=True)

    user_ids: list[Id] = Field(min_length=1, max_length=100)


@dataclass(slots=True)
class UserRecommendations:
    user_id: str
    recommendations: Recommendations | ExplainedRecommendations


@dataclass(slots=True)
class BatchOut:
    """In the order of `user_ids`."""

    results: list[UserRecommendations]


class PairIn(Body):
    user_id: Id
    item_id: Id


class PairsIn(Body):
    pairs: list[Any] = Field(
        max_length=1_000,
        description="Up to 1,000 pairs of a `user_id` and an `item_id`; each is judged by itself",
        examples=[[{"user_id": "ann", "item_id": "260"}]],
    )


@dataclass(slots=True)
class RejectedPair:
    index: int
    status: Literal["rejected"]
    problem: str


@dataclass(slots=True)
class Predictions:
    """`results`: in the order of the pairs."""

    snapshot_version: int | None
    results: list[Prediction | RejectedPair]


class Health(BaseModel):
    status: Literal["ok"]


class Readiness(BaseModel):
    status: Literal["ready"]
    snapshot_version: int | None = Field(description="Null: nothing is learned yet, answers are popular items")
