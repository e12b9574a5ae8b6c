"""What to recommend to a user or a guest, and why."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NewType, TypedDict, Unpack

from ..call import Call, Iteration, Request, operation
from .item_columns import ItemColumns

StoredField = Literal[
    "item_id",
    "title",
    "categories",
    "year",
    "attributes",
    "is_available",
    "available_until",
    "created_by",
    "added_at",
    "description",
    "url",
    "image_url",
]
"""What every answer can say of an item; its title is returned by default."""

ItemField = Literal[StoredField, "score", "predicted_rating", "sources", "reasons"]
"""The same, and what a list says of an item."""

# A type of its own, so that type checkers still report a misspelt field.
AttributeField = NewType("AttributeField", str)


def attribute_field(name: str) -> AttributeField:
    """Return the name of the attribute `name` for the option `fields`."""
    # In quotes, a name may contain commas, which separate the fields in a query string.
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return AttributeField(f'attributes."{quoted}"')


# Each class adds the options that fewer operations take: a ranking has its own candidates and needs no exclusions, an
# iteration has no limit, and a batch has no cursor, which belongs to the list of one user.
class RankingOptions(TypedDict, total=False):
    """Which items a list may contain, and what moves them. An option that is left out has the service's default."""

    category: str | None
    """Only items of this category."""
    filter: str | None
    """Only items that fulfil a condition: `year >= 1990 and "Drama" in categories`."""
    boost: str | None
    """What moves items up or down: `"Drama" in categories -> 1.5`."""
    min_predicted_rating: float | None
    """Only items with at least this predicted rating, on the rating scale."""
    placement: str | None
    """The placement whose rules apply; by default `home`."""
    explain: bool
    """Return the reasons for the rank of every item."""


class IterationOptions(RankingOptions, total=False):
    """The options of a list of any length."""

    exclude: Iterable[str]
    """Ids of items to leave out."""
    fields: Sequence[ItemField | AttributeField]
    """Return only these fields of the items, and `item_id`; by default all but the columns of the stored item."""


class BatchOptions(IterationOptions, total=False):
    """The options of a list of limited length."""

    limit: int | None
    """Number of items, 1 to 100; by default 20."""


class SearchOptions(TypedDict, total=False):
    """Which items a search may find, and how many."""

    limit: int | None
    """Number of items, 1 to 100; by default 20."""
    category: str | None
    """Only items of this category."""
    filter: str | None
    """Only items that fulfil a condition, as in `RankingOptions`."""
    placement: str | None
    """The placement whose filter holds; by default `home`."""
    fields: Sequence[ItemField | AttributeField]
    """Return only these fields of the items, `item_id` and `text_score`."""
    cursor: str | None
    """`next_cursor` of the previous page."""


class ListOptions(BatchOptions, total=False):
    """The options of one page of a list."""

    cursor: str | None
    """`next_cursor` of the previous page."""


def written(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` in the form of a query or body."""
    # Iterables become lists, because a request may be encoded more than once. `explain=False` is the default and is
    # left out, so that the same list always has the same address.
    sent = {name: list(value) if name in {"exclude", "fields"} else value for name, value in options.items()}
    return {name: value for name, value in sent.items() if value is not False}


@dataclass(frozen=True, slots=True)
class SegmentShare:
    """One segment's part of a score.

    `score`: the segment's contribution to the score of the item.
    `share_percent`: its absolute value, as a percentage of the sum over all segments.
    """

    segment: str
    score: float
    share_percent: float


@dataclass(frozen=True, slots=True)
class Because:
    """A rated item that raised the score. `share_percent`: its share of the influence of all rated items."""

    item_id: str
    title: str | None
    rating: float | None
    share_percent: float


@dataclass(frozen=True, slots=True)
class Moved:
    """A rule that moved an item. Ranks count from 1; `rank_before` is None for an item that the rule added."""

    rule: str
    rank_before: int | None
    rank_after: int


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why an item has its rank.

    `segments`: the parts of its score.
    `because`: the rated items with the greatest influence.
    `rules`: the rules that moved it.
    """

    segments: tuple[SegmentShare, ...]
    because: tuple[Because, ...]
    rules: tuple[Moved, ...]


@dataclass(frozen=True, slots=True)
class RecommendedItem(ItemColumns):
    """An item of a list. A field that is not returned is None or empty; a `score` that is not returned is NaN.

    `predicted_rating`: on the rating scale; None before anything is learned, and for pairs and amounts.
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

    `strategy`: what the list is based on: `personalized` (the user's vector in the snapshot), `fold_in` (a vector made
    for this list from newer ratings or events), `profile` (the user's attributes) or `popular`.
    `snapshot_version`: None before anything is learned.
    `limit_reached`: whether more items are eligible, but the pages so far held as many as a cursor can exclude.
    `notes`: what the caller should look at, such as a category that no item has.
    `degraded`: whether the database does not answer and the list is made of what was known last.
    """

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: tuple[RecommendedItem, ...]
    next_cursor: str | None
    limit_reached: bool = False
    notes: tuple[str, ...] = ()
    degraded: bool = field(default=False, kw_only=True)

    def __iter__(self) -> Iterator[RecommendedItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class FoundItem(RecommendedItem):
    """An item of a search. `text_score`: how well its title matches, 0 to 1; None for a query without words."""

    text_score: float | None = None


@dataclass(frozen=True, slots=True)
class SearchResults:
    """A page of a search, best first; the fields are those of `Recommendations`."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: tuple[FoundItem, ...]
    next_cursor: str | None
    limit_reached: bool = False
    notes: tuple[str, ...] = ()
    degraded: bool = field(default=False, kw_only=True)

    def __iter__(self) -> Iterator[FoundItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class GuestRecommendations(Recommendations):
    """A page of a list for a guest.

    `ignored_items`: the items of the guest's ratings and events that do not exist; None for a stored user.
    """

    ignored_items: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class UserRecommendations:
    """The list of one user of a batch."""

    user_id: str
    recommendations: Recommendations


@dataclass(frozen=True, slots=True)
class RecommendationsBatch:
    """The lists of several users, in the order of the user ids."""

    results: tuple[UserRecommendations, ...]

    def __iter__(self) -> Iterator[UserRecommendations]:
        return iter(self.results)


@dataclass(frozen=True, slots=True)
class GuestRating:
    """A rating that is used for one request and not stored. `value`: on the rating scale."""

    item_id: str
    value: float


@dataclass(frozen=True, slots=True)
class PastEvent:
    """An event that is used for one request and not stored.

    `at`: when it happened, with an offset; give it for all events or for none. Without it, the newest comes first.
    `portion`: how much was consumed, from 0 to 1; None means all.
    """

    type: str
    item_id: str
    at: datetime | None = None
    portion: float | None = None


@dataclass(frozen=True, slots=True)
class WhyNot:
    """What happened to an item on its way into a list.

    `stage`: `shown`, `unknown`, `restricted` or `moved_down` (by `rule`), `not_proposed`, `outranked`.
    `rank`: the rank in the list as shown.
    `rank_by_score`: the rank among all eligible items.
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
    degraded: bool = field(default=False, kw_only=True)


def guest_body(
    user_id: str | None, ratings: Iterable[GuestRating], events: Iterable[PastEvent], viewed_item_ids: Iterable[str]
) -> dict[str, Any]:
    """Return the fields of a body that say for whom a list is made."""
    # Lists, because a request may be encoded more than once.
    past = {"ratings": list(ratings), "events": list(events), "viewed_item_ids": list(viewed_item_ids)}
    return {"user_id": user_id, **past}


class RecommendationOperations:
    # The POSTs of this class store nothing, so they have the timeout of a read and may be repeated.

    @operation("GET", "/users/{user_id}/recommendations")
    def recommendations(self, user_id: str, **options: Unpack[ListOptions]) -> Request[Recommendations]:
        """Recommend items to a user, best first; an unknown user gets popular items.

        The list takes every rating into account that was stored before the request. See `ListOptions`.
        """
        return Request(Recommendations, path={"user_id": user_id}, query=written(options))

    @Iteration
    def iter_recommendations(
        self, user_id: str, *, page_size: int = 100, **options: Unpack[IterationOptions]
    ) -> Call[Recommendations]:
        """Iterate over the items of `recommendations`; no item comes twice, even if ratings arrive in between."""
        return RecommendationOperations.recommendations.call(user_id, limit=page_size, **options)

    @operation("POST", "/recommendations", changes=False)
    def recommendations_for(
        self,
        *,
        user_id: str | None = None,
        ratings: Iterable[GuestRating] = (),
        events: Iterable[PastEvent] = (),
        viewed_item_ids: Iterable[str] = (),
        **options: Unpack[ListOptions],
    ) -> Request[GuestRecommendations]:
        """Recommend items to a guest, who is known by these alone, each newest first. Nothing is stored.

        `viewed_item_ids` are the items that the guest looked at; each counts as much as a click does by default. The
        ratings count as older than the events. With `user_id` instead, the list is that of a user, and there may be up
        to 10,000 excluded items.
        """
        body = guest_body(user_id, ratings, events, viewed_item_ids)
        return Request(GuestRecommendations, body=body | written(options))

    @operation("POST", "/search", changes=False)
    def search(
        self, query: str, *, user_id: str | None = None, **options: Unpack[SearchOptions]
    ) -> Request[SearchResults]:
        """Search items by the words of their titles, in the order of the match and of the user's scores together.

        A word may have a typo, and the last one may be a beginning. An empty query is answered with recommendations.
        """
        return Request(SearchResults, body={"query": query, "user_id": user_id, **written(options)})

    @operation("POST", "/recommendations/batch", changes=False)
    def recommendations_batch(
        self, user_ids: Iterable[str], **options: Unpack[BatchOptions]
    ) -> Request[RecommendationsBatch]:
        """Recommend items to up to 100 users in one request, with the same options for each."""
        return Request(RecommendationsBatch, body={"user_ids": list(user_ids), **written(options)})

    @operation("GET", "/users/{user_id}/recommendations/explain/{item_id}")
    def why_not(self, user_id: str, item_id: str, **options: Unpack[ListOptions]) -> Request[WhyNot]:
        """Explain why an item is not in the list that `recommendations` returns with the same options."""
        return Request(WhyNot, path={"user_id": user_id, "item_id": item_id}, query=written(options))
