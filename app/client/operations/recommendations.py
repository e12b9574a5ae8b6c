"""What to recommend to a user or a guest, and why."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack

from ..call import Call, Iteration, Request, operation

ItemField = Literal["item_id", "title", "score", "predicted_rating", "sources", "reasons"]


# Each class of options adds to the one before what fewer operations take: a ranking has its own candidates and needs no
# exclusions, an iteration has no limit, and a batch has no cursor, which belongs to one user's list.
class RankingOptions(TypedDict, total=False):
    """Which items may stand in a list, and what moves them. An option that is left out has the service's default."""

    category: str | None
    """Only items of this category."""
    filter: str | None
    """Only items that fulfil a condition: `year >= 1990 and "Drama" in categories`."""
    boost: str | None
    """What stands higher or lower: `"Drama" in categories -> 1.5`."""
    min_predicted_rating: float | None
    """Only items that the user would rate at least so, on the rating scale."""
    placement: str | None
    """The placement whose rules apply; by default `home`."""
    explain: bool
    """Answer the reasons of every item."""


class IterationOptions(RankingOptions, total=False):
    """The options of a list of any length."""

    exclude: Iterable[str]
    """Ids of items to leave out."""
    fields: Sequence[ItemField]
    """Answer only these fields of the items, beside `item_id`; by default all."""


class BatchOptions(IterationOptions, total=False):
    """The options of a list of limited length."""

    limit: int | None
    """How many items to answer, 1 to 100; by default 20."""


class ListOptions(BatchOptions, total=False):
    """The options of one page of a list."""

    cursor: str | None
    """`next_cursor` of the page before."""


def written(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` as a query or body holds them.

    Iterables become lists, since a request may be written more than once. `explain=False` is the default and left out,
    so that one list has one address, whether or not the option is given.
    """
    sent = {name: list(value) if name in {"exclude", "fields"} else value for name, value in options.items()}
    return {name: value for name, value in sent.items() if value is not False}


@dataclass(frozen=True, slots=True)
class SegmentShare:
    """One segment's part of a score.

    `score`: what the segment adds to the item's score.
    `share_percent`: the size of that part, of the sizes of all parts.
    """

    segment: str
    score: float
    share_percent: float


@dataclass(frozen=True, slots=True)
class Because:
    """A rated item that speaks for this one. `share_percent`: of the influence of all rated items."""

    item_id: str
    title: str | None
    rating: float | None
    share_percent: float


@dataclass(frozen=True, slots=True)
class Moved:
    """A rule that moved an item. Ranks count from 1; `rank_before` is None for an item that the rule brought in."""

    rule: str
    rank_before: int | None
    rank_after: int


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why an item has its rank.

    `segments`: the parts of its score.
    `because`: the rated items with the greatest influence.
    `rules`: what moved it.
    """

    segments: tuple[SegmentShare, ...]
    because: tuple[Because, ...]
    rules: tuple[Moved, ...]


@dataclass(frozen=True, slots=True)
class RecommendedItem:
    """An item of a list. A field that the option `fields` leaves out is None, or empty; the score is NaN then.

    `predicted_rating`: on the rating scale; None before anything is learned.
    `sources`: which sources proposed the item.
    `reasons`: None without `explain=True`.
    """

    item_id: str
    title: str | None = None
    score: float = math.nan
    predicted_rating: float | None = None
    sources: tuple[str, ...] = ()
    reasons: Reasons | None = None


@dataclass(frozen=True, slots=True)
class Recommendations:
    """A page of a list, best first.

    `strategy`: what the user was known by: personalized, fold_in, profile or popular.
    `snapshot_version`: None before anything is learned.
    """

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: tuple[RecommendedItem, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[RecommendedItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class UserRecommendations:
    """The list of one user of a batch."""

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
    """A rating that is used for one request and not stored. `value`: on the rating scale."""

    item_id: str
    value: float


@dataclass(frozen=True, slots=True)
class WhyNot:
    """What happened to an item on its way into a list.

    `stage`: `shown`, `unknown`, `restricted` or `moved_down` (by `rule`), `not_proposed`, `outranked`.
    `rank`: in the list as shown.
    `rank_by_score`: among all eligible items.
    `score_needed`: the lowest score in the list.
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
    # The POSTs below store nothing, so they have the timeout of a read and may be repeated.

    @operation("GET", "/users/{user_id}/recommendations")
    def recommendations(self, user_id: str, **options: Unpack[ListOptions]) -> Request[Recommendations]:
        """What to recommend to a user, best first; an unknown user gets popular items.

        The answer reflects every rating stored before the request. See `ListOptions`.
        """
        return Request(Recommendations, path={"user_id": user_id}, query=written(options))

    @Iteration
    def iter_recommendations(
        self, user_id: str, *, page_size: int = 100, **options: Unpack[IterationOptions]
    ) -> Call[Recommendations]:
        """One item after the other, none twice, also while ratings arrive; as `recommendations`."""
        return RecommendationOperations.recommendations.call(user_id, limit=page_size, **options)

    @operation("POST", "/recommendations", changes=False, is_repeatable=True)
    def recommendations_for(
        self, *, user_id: str | None = None, ratings: Iterable[GuestRating] = (), **options: Unpack[ListOptions]
    ) -> Request[Recommendations]:
        """What to recommend to a guest, known by `ratings` alone (newest first); nothing is stored.

        With `user_id` in their place, for options too long for an address: up to 10,000 excluded items.
        """
        return Request(Recommendations, body={"user_id": user_id, "ratings": list(ratings), **written(options)})

    @operation("POST", "/recommendations/batch", changes=False, is_repeatable=True)
    def recommendations_batch(
        self, user_ids: Iterable[str], **options: Unpack[BatchOptions]
    ) -> Request[RecommendationsBatch]:
        """What to recommend to up to 100 users, in one request, with the same options for each."""
        return Request(RecommendationsBatch, body={"user_ids": list(user_ids), **written(options)})

    @operation("GET", "/users/{user_id}/recommendations/explain/{item_id}")
    def why_not(self, user_id: str, item_id: str, **options: Unpack[ListOptions]) -> Request[WhyNot]:
        """Why an item is not in the list that `recommendations` answers with the same options."""
        return Request(WhyNot, path={"user_id": user_id, "item_id": item_id}, query=written(options))
