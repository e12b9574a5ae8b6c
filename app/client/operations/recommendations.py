"""What to show whom, and why."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..call import Call, Iteration, Request, operation

ItemField = Literal["item_id", "title", "score", "predicted_rating", "sources", "reasons"]


@dataclass(frozen=True, slots=True)
class SegmentShare:
    """`score`: what the segment adds to the item's score. `share_percent`: of the sizes of all."""

    segment: str
    score: float
    share_percent: float


@dataclass(frozen=True, slots=True)
class Because:
    """A rated item that speaks for this one. `share_percent`: of all that rated items say for it."""

    item_id: str
    title: str | None
    rating: float | None
    share_percent: float


@dataclass(frozen=True, slots=True)
class Moved:
    """`rank_before`: None for an item that the rule brought in. Ranks count from 1."""

    rule: str
    rank_before: int | None
    rank_after: int


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why an item stands where it does: what its score is made of, the rated items that carry it, what moved it."""

    segments: tuple[SegmentShare, ...]
    because: tuple[Because, ...]
    rules: tuple[Moved, ...]


@dataclass(frozen=True, slots=True)
class RecommendedItem:
    """`predicted_rating`: on the rating scale; None before anything is learned. `sources`: who proposed it.

    `reasons`: with `explain=True` alone. What `fields` left out is None; the score is NaN then.
    """

    item_id: str
    title: str | None = None
    score: float = math.nan
    predicted_rating: float | None = None
    sources: tuple[str, ...] = ()
    reasons: Reasons | None = None


@dataclass(frozen=True, slots=True)
class Recommendations:
    """`strategy`: personalized, fold_in, profile or popular. `snapshot_version`: None before anything is learned."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: tuple[RecommendedItem, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[RecommendedItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class UserRecommendations:
    user_id: str
    recommendations: Recommendations


@dataclass(frozen=True, slots=True)
class RecommendationsBatch:
    """In the order of the user ids."""

    results: tuple[UserRecommendations, ...]

    def __iter__(self) -> Iterator[UserRecommendations]:
        return iter(self.results)


@dataclass(frozen=True, slots=True)
class GuestRating:
    item_id: str
    value: float


@dataclass(frozen=True, slots=True)
class WhyNot:
    """`stage`: `shown`, `unknown`, `restricted` or `moved_down` (by `rule`), `not_proposed`, `outranked`.

    `rank`: in the list as shown; `rank_by_score`: among all eligible items. `score_needed`: the lowest in the list.
    """

    item_id: str
    title: str | None
    stage: str
    detail: str
    rule: str | None = None
    sources: tuple[str, ...] | None = None
    rank: int | None = None
    rank_by_score: int | None = None
    score: float | None = None
    score_needed: float | None = None


class RecommendationOperations:
    @operation("GET", "/users/{user_id}/recommendations")
    def recommendations(
        self,
        user_id: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        exclude: Iterable[str] = (),
        category: str | None = None,
        filter: str | None = None,  # noqa: A002  the service's own name, as all of them
        boost: str | None = None,
        min_predicted_rating: float | None = None,
        placement: str | None = None,
        explain: bool = False,
        fields: Sequence[ItemField] = (),
    ) -> Request[Recommendations]:
        """What to show a user, best first; an unknown one gets what is popular. Knows all that was stored before.

        `exclude`: item ids. `filter`: a condition, as `year >= 1990 and "Drama" in categories`. `boost`: what stands
        higher or lower, as `"Drama" in categories -> 1.5`. `placement`: whose rules hold; `home`, where None.
        `explain`: with the reasons of every item. `fields`: of the items only these, to save bytes.
        """
        query = {
            "limit": limit,
            "cursor": cursor,
            "exclude": list(exclude),
            "category": category,
            "filter": filter,
            "boost": boost,
            "min_predicted_rating": min_predicted_rating,
            "placement": placement,
            "explain": explain or None,
            "fields": list(fields),
        }
        return Request(Recommendations, path={"user_id": user_id}, query=query)

    @Iteration
    def iter_recommendations(
        self,
        user_id: str,
        *,
        page_size: int = 100,
        exclude: Iterable[str] = (),
        category: str | None = None,
        filter: str | None = None,  # noqa: A002
        boost: str | None = None,
        min_predicted_rating: float | None = None,
        placement: str | None = None,
        explain: bool = False,
    ) -> Call[Recommendations]:
        """One item after the other, none twice, also while ratings arrive; as `recommendations`."""
        return RecommendationOperations.recommendations.call(
            user_id,
            limit=page_size,
            exclude=exclude,
            category=category,
            filter=filter,
            boost=boost,
            min_predicted_rating=min_predicted_rating,
            placement=placement,
            explain=explain,
        )

    @operation("POST", "/recommendations", changes=False, is_repeatable=True)
    def recommendations_for(
        self,
        *,
        user_id: str | None = None,
        ratings: Iterable[GuestRating] = (),
        limit: int | None = None,
        cursor: str | None = None,
        exclude: Iterable[str] = (),
        category: str | None = None,
        filter: str | None = None,  # noqa: A002
        boost: str | None = None,
        min_predicted_rating: float | None = None,
        placement: str | None = None,
        explain: bool = False,
        fields: Sequence[ItemField] = (),
    ) -> Request[Recommendations]:
        """What to show a guest, known by `ratings` alone (newest first); nothing is stored. See `recommendations`.

        With a `user_id` in their place, for a question too long for an address: up to 10,000 excluded items.
        """
        body = {
            "user_id": user_id,
            "ratings": list(ratings),
            "limit": limit,
            "cursor": cursor,
            "exclude": list(exclude),
            "category": category,
            "filter": filter,
            "boost": boost,
            "min_predicted_rating": min_predicted_rating,
            "placement": placement,
            "explain": explain,
            "fields": list(fields),
        }
        return Request(Recommendations, body=body)

    @operation("POST", "/recommendations/batch", changes=False, is_repeatable=True)
    def recommendations_batch(
        self,
        user_ids: Iterable[str],
        *,
        limit: int | None = None,
        exclude: Iterable[str] = (),
        category: str | None = None,
        filter: str | None = None,  # noqa: A002
        boost: str | None = None,
        min_predicted_rating: float | None = None,
        placement: str | None = None,
        explain: bool = False,
        fields: Sequence[ItemField] = (),
    ) -> Request[RecommendationsBatch]:
        """What to show up to 100 users, in one request; the same question for each. See `recommendations`."""
        body = {
            "user_ids": list(user_ids),
            "limit": limit,
            "exclude": list(exclude),
            "category": category,
            "filter": filter,
            "boost": boost,
            "min_predicted_rating": min_predicted_rating,
            "placement": placement,
            "explain": explain,
            "fields": list(fields),
        }
        return Request(RecommendationsBatch, body=body)

    @operation("GET", "/users/{user_id}/recommendations/explain/{item_id}")
    def why_not(
        self,
        user_id: str,
        item_id: str,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        exclude: Iterable[str] = (),
        category: str | None = None,
        filter: str | None = None,  # noqa: A002
        boost: str | None = None,
        min_predicted_rating: float | None = None,
        placement: str | None = None,
        explain: bool = False,
        fields: Sequence[ItemField] = (),
    ) -> Request[WhyNot]:
        """Why an item is not in the list that `recommendations` answers to the same question."""
        query = {
            "limit": limit,
            "cursor": cursor,
            "exclude": list(exclude),
            "category": category,
            "filter": filter,
            "boost": boost,
            "min_predicted_rating": min_predicted_rating,
            "placement": placement,
            "explain": explain or None,
            "fields": list(fields),
        }
        return Request(WhyNot, path={"user_id": user_id, "item_id": item_id}, query=query)
