"""Lists for many users, and predictions for pairs."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, FailFast, Field

from app.api.item_fields import SelectedColumns
from app.api.list_parameters import ListFields
from app.intake.rows import Body, DescribedAs
from app.intake.value_types import Id
from app.serving.predictions import Prediction
from app.serving.query import Degraded, ExplainedRecommendations, Recommendations


class BatchIn(ListFields):
    model_config = ConfigDict(strict=True, json_schema_extra={"examples": [{"user_ids": ["1", "2"], "limit": 5}]})

    user_ids: Annotated[list[Id], FailFast()] = Field(min_length=1, max_length=100)


@dataclass(slots=True, kw_only=True)
class GuestRecommendations(Recommendations):
    """`ignored_items`: the items of the guest's ratings and events that do not exist; missing for a stored user."""

    ignored_items: list[str] | None = None


@dataclass(slots=True, kw_only=True)
class ExplainedGuestRecommendations(ExplainedRecommendations):
    """As `GuestRecommendations`, with the reasons of every item."""

    ignored_items: list[str] | None = None


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
    fields: SelectedColumns = Field(default_factory=list)
    pairs: list[Annotated[Any, DescribedAs(PairIn)]] = Field(
        max_length=1_000,
        description="Up to 1,000 pairs of a `user_id` and an `item_id`; each is checked separately",
        examples=[[{"user_id": "1", "item_id": "318"}]],
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
    degraded: Degraded = False
