"""What is asked for, and what is answered."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Query:
    """One request for recommendations.

    `returned_keys`: item keys that earlier pages of this sequence held. `exclude`: item ids the caller does not want;
    unknown ones are ignored. `category`: None for all.
    """

    user_id: str
    limit: int = 20
    returned_keys: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    exclude: tuple[str, ...] = ()
    category: str | None = None


class Candidates(NamedTuple):
    """Rows that one source proposes, or several: `proposed_by` (n,) uint8 holds bit s for source number s."""

    rows: Rows
    proposed_by: NDArray[np.uint8]


class Ranked(NamedTuple):
    """Rows in the order of `scores`, best first."""

    rows: Rows
    scores: NDArray[np.float32]
    proposed_by: NDArray[np.uint8]

    def first(self, n: int) -> "Ranked":
        return Ranked(self.rows[:n], self.scores[:n], self.proposed_by[:n])


@dataclass(slots=True)
class RecommendedItem:
    """`score`: the dot product. `predicted_rating`: on the rating scale; None before anything is learned."""

    item_id: str
    title: str | None
    score: float
    predicted_rating: float | None
    sources: list[str]


@dataclass(slots=True)
class Recommendations:
    """`strategy`: personalized, fold_in, profile or popular. `next_cursor`: None where nothing more is eligible."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: list[RecommendedItem]
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
