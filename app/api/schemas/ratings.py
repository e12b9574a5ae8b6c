"""Ratings, one and many."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, Field

from app.api.schemas.body import BatchOutcome
from app.entities import Rating
from app.intake.recording import StoredRating


class RatingOut(BaseModel):
    """What is stored now."""

    user_id: str
    item_id: str
    value: float | None = Field(description="Null if the rating was deleted later than `rated_at`", examples=[5.0])
    rated_at: datetime | None = Field(description="Null if the time is not known")

    @classmethod
    def from_rating(cls, rating: Rating | StoredRating) -> Self:
        return cls(user_id=rating.user_id, item_id=rating.item_id, value=rating.value, rated_at=rating.rated_at)


class RatingsOut(BatchOutcome):
    """What became of the ratings of a batch, in their order."""


class RatingsPage(BaseModel):
    ratings: list[RatingOut]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last page")
