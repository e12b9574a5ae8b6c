"""The caller's own candidates, and what users would rate items."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..call import Request, operation
from .recommendations import GuestRating, RecommendedItem


@dataclass(frozen=True, slots=True)
class ExcludedItem:
    """`rule`: which ruled it out first."""

    item_id: str
    rule: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """Every candidate once: in `items`, best first, in `excluded` or, where there is no such item, in `unknown`."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: tuple[RecommendedItem, ...]
    excluded: tuple[ExcludedItem, ...]
    unknown: tuple[str, ...]

    def __iter__(self) -> Iterator[RecommendedItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Pair:
    user_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """`predicted_rating`: on the rating scale; None before anything is learned. `uncertainty`: the standard deviation
    of the rating around it. `strategy`: what the user was known by.

    `item`: `learned` (from its ratings), `new` (by its features) or `unknown` (no such item).
    """

    index: int
    status: Literal["predicted"]
    user_id: str
    item_id: str
    predicted_rating: float | None
    uncertainty: float | None
    strategy: str
    item: Literal["learned", "new", "unknown"]


@dataclass(frozen=True, slots=True)
class RejectedPair:
    index: int
    status: Literal["rejected"]
    problem: str


@dataclass(frozen=True, slots=True)
class Predictions:
    """In the order of the pairs."""

    snapshot_version: int | None
    results: tuple[Prediction | RejectedPair, ...]

    def __iter__(self) -> Iterator[Prediction | RejectedPair]:
        return iter(self.results)


class RankingOperations:
    @operation("POST", "/rankings", changes=False, is_repeatable=True)
    def rank(
        self,
        item_ids: Iterable[str],
        *,
        user_id: str | None = None,
        ratings: Iterable[GuestRating] = (),
        category: str | None = None,
        filter: str | None = None,  # noqa: A002  the service's own name
        boost: str | None = None,
        min_predicted_rating: float | None = None,
        placement: str | None = None,
        explain: bool = False,
    ) -> Request[Ranking]:
        """Up to 1,000 items of the caller's, best first for a user, or for a guest with these ratings."""
        body = {
            "item_ids": list(item_ids),
            "user_id": user_id,
            "ratings": list(ratings),
            "category": category,
            "filter": filter,
            "boost": boost,
            "min_predicted_rating": min_predicted_rating,
            "placement": placement,
            "explain": explain,
        }
        return Request(Ranking, body=body)

    @operation("POST", "/predictions", changes=False, is_repeatable=True)
    def predict(self, pairs: Sequence[Pair]) -> Request[Predictions]:
        """What users would rate items, for up to 1,000 pairs, each judged by itself, with the uncertainty."""
        return Request(Predictions, body={"pairs": list(pairs)})
