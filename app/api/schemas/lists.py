"""Lists for many users, and predictions for pairs."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, Field

from app.api.list_parameters import ListFields
from app.api.schemas.body import Body
from app.api.types import Id
from app.serving.predictions import Prediction
from app.serving.query import ExplainedRecommendations, Recommendations


class BatchIn(ListFields):
    model_config = ConfigDict(strict=True)

    user_ids: list[Id] = Field(min_length=1, max_length=100)


@dataclass(slots=True)
class UserRecommendations:
    user_id: str
    recommendations: Recommendations | ExplainedRecommendations


@dataclass(slots=True)
class BatchOut:
    """One result for each of `user_ids`, in their order."""

    results: list[UserRecommendations]


class PairIn(Body):
    user_id: Id
    item_id: Id


class PairsIn(Body):
    # Any: each row is validated on its own, so that one bad pair does not refuse the whole request.
    pairs: list[Any] = Field(
        max_length=1_000,
        description="Up to 1,000 pairs of a `user_id` and an `item_id`; each is checked separately",
        examples=[[{"user_id": "ann", "item_id": "260"}]],
    )


@dataclass(slots=True)
class RejectedPair:
    index: int
    status: Literal["rejected"]
    problem: str


@dataclass(slots=True)
class Predictions:
    """`results` are in the order of the pairs."""

    snapshot_version: int | None
    results: list[Prediction | RejectedPair]
