"""Ratings, one and many."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas.body import Body
from app.api.types import Finite, Id, Moment
from app.entities import Rating
from app.intake.recording import RowOutcome, StoredRating


class RatingIn(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "ann", "item_id": "260", "value": 5}]},
    )

    user_id: Id
    item_id: Id
    value: Annotated[Finite, Field(description="On the rating scale of the service", examples=[4.5])]
    rated_at: Moment | None = Field(
        None, description="When the user rated the item; now if absent. At most 5 minutes ahead"
    )

    def to_entity(self) -> Rating:
        return Rating(self.user_id, self.item_id, float(self.value), self.rated_at)


class RatingOut(BaseModel):
    """What is stored now."""

    user_id: str = Field(examples=["ann"])
    item_id: str = Field(examples=["260"])
    value: float | None = Field(description="Null if the rating was deleted later than `rated_at`", examples=[5.0])
    rated_at: datetime | None = Field(description="Null if the time is not known")

    @classmethod
    def from_rating(cls, rating: Rating | StoredRating) -> Self:
        return cls(user_id=rating.user_id, item_id=rating.item_id, value=rating.value, rated_at=rating.rated_at)


class RatingsIn(Body):
    # Any: each row is validated on its own, so that one bad row does not refuse the whole batch.
    ratings: list[Any] = Field(
        max_length=1_000,
        description="Up to 1,000 ratings, each as for `POST /ratings` and checked separately",
        examples=[[{"user_id": "ann", "item_id": "260", "value": 5}]],
    )


class RatingsOut(BaseModel):
    stored: int
    replaced: int
    unchanged: int
    rejected: int
    results: list[RowOutcome]

    @classmethod
    def from_outcomes(cls, outcomes: Sequence[RowOutcome]) -> Self:
        counts = Counter(outcome.status for outcome in outcomes)
        return cls(
            stored=counts["stored"],
            replaced=counts["replaced"],
            unchanged=counts["unchanged"],
            rejected=counts["rejected"],
            results=list(outcomes),
        )


class RatingsPage(BaseModel):
    ratings: list[RatingOut]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last page")
