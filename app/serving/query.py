"""What a caller requests of a list, and what the answer says."""

import operator
from dataclasses import dataclass, field, fields
from typing import Annotated

from pydantic import Field

from app.entities import Rating
from app.serving.expressions import Boost, Filter
from app.serving.guests import GuestEvent
from app.serving.rows import NO_ROWS, Rows

DEFAULT_PLACEMENT = "home"

Degraded = Annotated[
    bool,
    Field(
        exclude_if=operator.not_,
        description="True if the database does not answer and this is made of what was last known of users, items and"
        " placements; absent otherwise",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """What a request may ask of any list, for any user.

    `exclude`: item ids the caller does not want; unknown ones are ignored. `categories`: any of
    these; empty for all. `min_predicted_rating`: on the rating scale. `placement`: whose rules hold.

    `given`: the names of the options that are not at their defaults. `depends_on_clock`: whether an expression may hold
    for other items a moment later. Both are derived, once for options that are kept with their query string.
    """

    limit: int = 20
    exclude: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    filter: Filter | None = None
    boost: Boost | None = None
    min_predicted_rating: float | None = None
    placement: str = DEFAULT_PLACEMENT
    explain: bool = False
    given: frozenset[str] = field(init=False, compare=False)
    depends_on_clock: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        # Set through `object` because the class is frozen: a request must not change what others share.
        options = [each for each in fields(self) if each.init]
        given = frozenset(each.name for each in options if getattr(self, each.name) != each.default)
        expressions = (self.filter, self.boost)
        object.__setattr__(self, "given", given)
        object.__setattr__(self, "depends_on_clock", any(each and each.looks_at_clock for each in expressions))


NO_OPTIONS = ListOptions()


@dataclass(frozen=True, slots=True)
class Query:
    """One request for recommendations.

    `user_id`: None for a guest, who has `ratings`, newest first, and `events` in place of a stored history; the ratings
    count as older than the events. `returned_keys`: item keys that earlier pages of the same list held.
    """

    user_id: str | None
    options: ListOptions = NO_OPTIONS
    ratings: tuple[Rating, ...] = ()
    returned_keys: Rows = field(default_factory=lambda: NO_ROWS)
    events: tuple[GuestEvent, ...] = ()


@dataclass(slots=True)
class SegmentShare:
    """`score`: the segment's addend; all sum to the item's score. `share_percent`: of the sum of their sizes."""

    segment: str
    score: float
    share_percent: float


@dataclass(slots=True)
class Because:
    """Another item, liked or with positive events, that raises the score of this one.

    `share_percent`: of what all other liked items add to the score.
    """

    item_id: str
    title: str | None
    rating: float | None
    share_percent: float


@dataclass(slots=True)
class Moved:
    """`rank_before`: None for an item that the rule brought in. Ranks count from 1."""

    rule: str
    rank_before: int | None
    rank_after: int


@dataclass(slots=True)
class Reasons:
    """Why an item stands where it does."""

    segments: list[SegmentShare]
    because: list[Because]
    rules: list[Moved]


@dataclass(slots=True)
class RecommendedItem:
    """`score`: the dot product. `predicted_rating`: on the rating scale; None before anything is learned,
    and for pairs and amounts.

    `sources`: what proposed it; `promoted`, `exploration` and `recurring` are rules that brought it in. A request may
    leave fields that have a default out of the answer by `fields`.
    """

    item_id: str
    title: str | None = None
    score: float = 0.0
    predicted_rating: float | None = None
    sources: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ExplainedItem(RecommendedItem):
    reasons: Reasons | None = None


@dataclass(slots=True)
class Recommendations:
    """`strategy`: personalized, fold_in, profile or popular. `next_cursor`: None where nothing more is eligible, or
    `limit_reached`: more is, but the pages held as many items as a cursor can exclude. `notes`: what the caller should
    look at, such as a category of no item.
    """

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: list[RecommendedItem]
    next_cursor: str | None
    limit_reached: bool = False
    notes: list[str] = field(default_factory=list)
    degraded: Degraded = False


@dataclass(slots=True)
class ExplainedRecommendations:
    """As `Recommendations`, with the reasons of every item."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: list[ExplainedItem]
    next_cursor: str | None
    limit_reached: bool = False
    notes: list[str] = field(default_factory=list)
    degraded: Degraded = False


@dataclass(slots=True)
class FoundItem(RecommendedItem):
    """`text_score`: how well the title matches the query, 0 to 1; None for a query without words."""

    text_score: float | None = None


@dataclass(slots=True)
class SearchResults:
    """As `Recommendations`, ordered by the text score and the user's score together."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: list[FoundItem]
    next_cursor: str | None
    limit_reached: bool = False
    notes: list[str] = field(default_factory=list)
    degraded: Degraded = False


@dataclass(slots=True)
class SimilarItem:
    """`similarity`: of kind `blend` and `taste`, from 0 to 1, shrunk where few users have rated the items; of the other
    kinds, the entry of a table, which compares items of one list alone.

    `contributions`: what it is made of; they sum to the similarity. Of kind `blend`: `together` (the same users choose
    both), `taste` (learned), `features` (categories, attributes, creator), `titles` (words); of others the kind.
    """

    item_id: str
    title: str | None = None
    similarity: float = 0.0
    contributions: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class SimilarItems:
    """`kind`: in what the items are alike. `next_cursor`: None where nothing else is eligible and similar, or
    `limit_reached`; this and `notes` as in `Recommendations`.
    """

    item_id: str
    recommendation_id: str
    snapshot_version: int | None
    kind: str
    items: list[SimilarItem]
    next_cursor: str | None
    limit_reached: bool = False
    notes: list[str] = field(default_factory=list)
    degraded: Degraded = False
