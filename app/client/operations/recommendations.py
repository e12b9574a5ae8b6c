"""What to show whom."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..call import Call, Iteration, Request, operation


@dataclass(frozen=True, slots=True)
class RecommendedItem:
    """`predicted_rating`: on the rating scale; None before anything is learned. `sources`: who proposed it."""

    item_id: str
    title: str | None
    score: float
    predicted_rating: float | None
    sources: tuple[str, ...]


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
    ) -> Request[Recommendations]:
        """What to show a user, best first; an unknown one gets what is popular. Knows all that was stored before."""
        query = {"limit": limit, "cursor": cursor, "exclude": list(exclude), "category": category}
        return Request(Recommendations, path={"user_id": user_id}, query=query)

    @Iteration
    def iter_recommendations(
        self, user_id: str, *, page_size: int = 100, exclude: Iterable[str] = (), category: str | None = None
    ) -> Call[Recommendations]:
        """One item after the other, none twice, also while ratings arrive."""
        return RecommendationOperations.recommendations.call(
            user_id, limit=page_size, exclude=exclude, category=category
        )
