"""Ratings, one and many."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.body import BatchOutcome, Body, DescribedAs
from app.entities import Rating
from app.intake.recording import StoredRating
from app.intake.value_types import VALUE, Finite, Id, Moment


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


class RatingOut(BaseModel):
    """What is stored now."""

    user_id: str
    item_id: str
    value: float | None = Field(description="Null if the rating was deleted later than `rated_at`", examples=[5.0])
    rated_at: datetime | None = Field(description="Null if the time is not known")

    @classmethod
    def from_rating(cls, rating: Rating | StoredRating) -> Self:
        return cls(user_id=rating.user_id, item_id=rating.item_id, value=rating.value, rated_at=rating.rated_at)


class RatingsIn(Body):
    ratings: list[Annotated[Any, DescribedAs(RatingIn)]] = Field(
        max_length=1_000,
        description="Up to 1,000 ratings, each as for `POST /ratings` and checked separately",
        examples=[[{"user_id": "1", "item_id": "318", "value": 5}]],
    )


class RatingsOut(BatchOutcome):
    """What became of the ratings of a batch, in their order."""


class RatingsPage(BaseModel):
    ratings: list[RatingOut]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last page")
