"""Ratings, one and many."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.body import Body, RowOutcome
from app.api.types import Finite, Id, Moment
from app.entities import Rating


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


class RatingsOut(BaseModel):
    stored: int
    replaced: int
    unchanged: int
    rejected: int
    results: list[RowOutcome]


class RatingsPage(BaseModel):
    ratings: list[RatingOut]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last")
