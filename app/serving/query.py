"""What is asked for, and what is answered."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.entities import Rating
from app.serving.expressions import Boost, Filter
from app.serving.rows import NO_ROWS, Rows

DEFAULT_PLACEMENT = "home"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """What a request may ask of any list, whoever it is for.

    `exclude`: item ids the caller does not want; unknown ones are ignored. `category`: None for all.
    `min_predicted_rating`: on the rating scale. `placement`: whose rules hold.
    """

    limit: int = 20
    exclude: tuple[str, ...] = ()
    category: str | None = None
    filter: Filter | None = None
    boost: Boost | None = None
    min_predicted_rating: float | None = None
    placement: str = DEFAULT_PLACEMENT
    explain: bool = False

    @property
    def looks_at_clock(self) -> bool:
        """Whether an expression may mean other items a moment later."""
        return (self.filter is not None and self.filter.looks_at_clock) or (
            self.boost is not None and self.boost.looks_at_clock
        )


ANYTHING = ListOptions()


@dataclass(frozen=True, slots=True)
class Query:
    """One request for recommendations.

    `user_id`: None for a guest, who has `ratings`, newest first, in place of a stored history. `returned_keys`: item
    keys that earlier pages of this sequence held.
    """

    user_id: str | None
    options: ListOptions = ANYTHING
    ratings: tuple[Rating, ...] = ()
    returned_keys: Rows = field(default_factory=lambda: NO_ROWS)


class Candidates(NamedTuple):
    """Rows that one source proposes, or several: `proposed_by` (n,) int64 holds bit s for source number s."""

    rows: Rows
    proposed_by: NDArray[np.int64]


class Ranked(NamedTuple):
    """Rows in the order they are to be shown in.

    `scores`: the dot products. `standings`: what they are ordered by, the scores once rules have weighed them; a rule
    that places items by hand leaves both as they were.
    """

    rows: Rows
    scores: NDArray[np.float32]
    standings: NDArray[np.floating]
    proposed_by: NDArray[np.int64]

    def followed_by(self, more: "Ranked") -> "Ranked":
        return Ranked(
            np.concatenate((self.rows, more.rows)),
            np.concatenate((self.scores, more.scores)),
            np.concatenate((self.standings, more.standings)),
            np.concatenate((self.proposed_by, more.proposed_by)),
        )

    def take(self, places: NDArray[np.intp] | slice) -> "Ranked":
        return Ranked(self.rows[places], self.scores[places], self.standings[places], self.proposed_by[places])

    def first(self, n: int) -> "Ranked":
        return self.take(slice(n))


@dataclass(slots=True)
class SegmentShare:
    """`score`: the segment's addend, which all sum to the item's score. `share_percent`: of the sum of their sizes."""

    segment: str
    score: float
    share_percent: float


@dataclass(slots=True)
class Because:
    """Another item that speaks for this one: rated, or engaged with. `share_percent`: of all that others say for it."""

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

    `sources`: who proposed it; `promoted`, `exploration` and `recurring` are rules that brought it in. What has a
    default, a request may leave out of the answer by `fields`.
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
