"""What a caller requests of a list, and what the answer says."""

from dataclasses import dataclass, field, fields

from app.entities import Rating
from app.serving.expressions import Boost, Filter
from app.serving.rows import NO_ROWS, Rows

DEFAULT_PLACEMENT = "home"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """What a request may ask of any list, for any user.

    `exclude`: item ids the caller does not want; unknown ones are ignored. `category`: None for all.
    `min_predicted_rating`: on the rating scale. `placement`: whose rules hold.

    `given`: the names of the options that are not at their defaults. `depends_on_clock`: whether an expression may hold
    for other items a moment later. Both are derived, once for options that are kept with their query string.
    """

    limit: int = 20
    exclude: tuple[str, ...] = ()
    category: str | None = None
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

    `user_id`: None for a guest, who has `ratings`, newest first, in place of a stored history. `returned_keys`: item
    keys that earlier pages of this sequence held.
    """

    user_id: str | None
    options: ListOptions = NO_OPTIONS
    ratings: tuple[Rating, ...] = ()
    returned_keys: Rows = field(default_factory=lambda: NO_ROWS)


@dataclass(slots=True)
class SegmentShare:
    """`score`: the segment's addend; all sum to the item's score. `share_percent`: of the sum of their sizes."""

    segment: str
    score: float
    share_percent: float


@dataclass(slots=True)
class Because:
    """Another item, rated or with positive events, that raises the score of this one.

    `share_percent`: of what all other items add to the score.
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
    """`score`: the dot product. `predicted_rating`: on the rating scale; None before anything is learned.

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
    """`strategy`: personalized, fold_in, profile or popular. `next_cursor`: None where nothing more is eligible."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: list[RecommendedItem]
    next_cursor: str | None


@dataclass(slots=True)
class ExplainedRecommendations:
    """As `Recommendations`, with the reasons of every item."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: list[ExplainedItem]
    next_cursor: str | None


@dataclass(slots=True)
class SimilarItem:
    """`similarity`: cosine shrunk by n / (n + 10) ratings."""

    item_id: str
    title: str | None
    similarity: float


@dataclass(slots=True)
class SimilarItems:
    item_id: str
    snapshot_version: int | None
    items: list[SimilarItem]
