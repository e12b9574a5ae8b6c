"""What to show whom, and what is like what."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool

from app.api.problems import responses
from app.api.strict_route import StrictRoute
from app.api.types import Id
from app.observability.metrics import Metrics
from app.serving import query as asked
from app.serving.query import Recommendations, SimilarItems
from app.serving.recommend import Recommender
from app.serving.similar import SimilarFinder
from app.serving.tokens import Tokens

Limit = Annotated[int, Query(ge=1, le=100, description="How many items")]

EXAMPLE = {
    "recommendation_id": "AAAAAAAAAAEAAAAAAAAAAQAF9...",
    "snapshot_version": 1,
    "strategy": "personalized",
    "items": [
        {
            "item_id": "318",
            "title": "The Shawshank Redemption",
            "score": 3.0517,
            "predicted_rating": 4.61,
            "sources": ["nearest", "popular"],
        }
    ],
    "next_cursor": "eJxjZGBg...",
}


def recommendations_router(
    recommender: Recommender, similar: SimilarFinder, tokens: Tokens, metrics: Metrics, *, reads_are_local: bool
) -> APIRouter:
    router = APIRouter(tags=["recommendations"], route_class=StrictRoute)

    @router.get(
        "/users/{user_id}/recommendations",
        summary="What to show a user",
        responses=responses(422, 503, also={200: {"content": {"application/json": {"example": EXAMPLE}}}}),
    )
    async def get_recommendations(
        user_id: Id,
        limit: Limit = 20,
        cursor: Annotated[str | None, Query(description="`next_cursor` of the page before")] = None,
        exclude: Annotated[
            list[str] | None, Query(max_length=1_000, description="Item ids to leave out; may be repeated")
        ] = None,
        category: Annotated[str | None, Query(max_length=100, description="Only items of this category")] = None,
    ) -> Recommendations:
        """Items the user has not rated, best first; knows every rating acknowledged before this request.

        `strategy` tells how: `personalized` (by the vector in the snapshot), `fold_in` (ratings changed since: the
        vector was computed anew for this answer), `profile` (no ratings, but attributes that say something) or
        `popular` (nothing is known of this user). An unknown user gets popular items. As many items as asked for,
        while that many are eligible.
        """
        returned = {} if cursor is None else {"returned_keys": tokens.read_cursor(user_id, cursor)}
        query = asked.Query(user_id, limit, exclude=tuple(exclude or ()), category=category, **returned)
        answer = (
            recommender.recommend(query) if reads_are_local else await run_in_threadpool(recommender.recommend, query)
        )
        metrics.count_recommendations(answer.strategy)
        return answer

    @router.get("/items/{item_id}/similar", summary="Items like an item", responses=responses(404, 422, 503))
    def get_similar(item_id: Id, limit: Limit = 20) -> SimilarItems:
        """By what they have in common in the eyes of raters; empty for one that nobody had rated at the snapshot."""
        return similar.similar(item_id, limit)

    return router
