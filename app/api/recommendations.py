"""What to show whom."""

import time
from asyncio import sleep
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from app.api.list_parameters import GuestBody, ListParameters
from app.api.problems import responses
from app.api.query_string import described, parameters
from app.api.responses import JSON, answered, as_bytes, held_by, is_among, unchanged
from app.api.schemas.lists import BatchIn, BatchOut
from app.api.strict_route import StrictRoute
from app.api.types import Id
from app.observability.metrics import Metrics
from app.serving import query as asked
from app.serving.exclusion import ExclusionExplainer, WhyNot
from app.serving.query import ExplainedRecommendations, Recommendations
from app.serving.recommend import Recommender
from app.serving.request_state import RequestStates
from app.serving.response_cache import CachedResponse, ResponseCache
from app.serving.tokens import TokenSigner
from app.store.serving_reads import ServingReads

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
LIST: dict[str, Any] = {
    "model": Recommendations | ExplainedRecommendations,
    "content": {"application/json": {"example": EXAMPLE}},
}
UNCHANGED = {"description": "Nothing changed since the answer of this entity tag"}


def recommendations_router(
    recommender: Recommender,
    request_states: RequestStates,
    cache: ResponseCache,
    tokens: TokenSigner,
    reads: ServingReads,
    metrics: Metrics,
) -> APIRouter:
    router = APIRouter(tags=["recommendations"], route_class=StrictRoute)
    inquiry = ExclusionExplainer(recommender)

    @router.get(
        "/users/{user_id}/recommendations",
        summary="What to show a user",
        responses=responses(422, 503, also={200: LIST, 304: UNCHANGED}),
        openapi_extra=described(ListParameters),
    )
    async def get_recommendations(user_id: Id, request: Request) -> Response:
        """Items the user has not rated, best first; knows every rating, event and change acknowledged before.

        `strategy` tells how: `personalized` (by the vector in the snapshot), `fold_in` (ratings or events since: the
        vector was computed anew for this answer), `profile` (neither, but attributes that say something) or `popular`
        (nothing is known of this user). An unknown user gets popular items. As many items as asked for, while that many
        are eligible. The `ETag` stays the same until the snapshot, the catalogue, the placement or the user changes.
        """
        wanted = parameters(request, ListParameters)
        query = wanted.query(user_id, tokens)
        request_state = await request_states.read(user_id)
        question = b"%b\0%b" % (user_id.encode(), request.scope["query_string"])  # no id holds a NUL
        entity_tag = request_state.entity_tag(question, query.options, time.time_ns() // 1_000)
        held = held_by(request)
        if is_among(entity_tag, held):
            return unchanged(entity_tag)
        answer = cache.get(question, entity_tag)
        if answer is None:
            made = await recommender.recommend(query, request_state)
            answer = CachedResponse(made.strategy, as_bytes(made, wanted.fields))
            cache.put(question, entity_tag, answer)
        metrics.count_recommendations(answer.strategy)
        return answered(answer.body, entity_tag, held)

    @router.post(
        "/recommendations",
        summary="What to show a guest",
        responses=responses(400, 413, 422, 503, also={200: LIST}),
    )
    async def post_recommendations(body: GuestBody) -> Response:
        """For somebody known by the ratings in the body alone; nothing is stored. Without any, what is popular.

        With `user_id` in their place it is `GET /users/{user_id}/recommendations`, with room for long filters.
        """
        request_state = await request_states.read(body.user_id or "")
        query = body.query(body.user_id, tokens)
        if body.ratings:
            query = replace(query, ratings=body.rated(await reads.scale()))
        made = await recommender.recommend(query, request_state)
        metrics.count_recommendations(made.strategy)
        return Response(as_bytes(made, body.fields), media_type=JSON)

    @router.post(
        "/recommendations/batch",
        summary="What to show up to 100 users",
        responses=responses(400, 413, 422, 503, also={200: {"model": BatchOut}}),
    )
    async def post_batch(body: BatchIn) -> Response:
        """The same question for each; the lists come in the order of `user_ids`."""
        options = body.options()
        results = []
        for user_id in body.user_ids:
            made = await recommender.recommend(asked.Query(user_id, options), await request_states.read(user_id))
            metrics.count_recommendations(made.strategy)
            results.append(b'{"user_id":%b,"recommendations":%b}' % (to_json(user_id), as_bytes(made, body.fields)))
            await sleep(0)  # others wait for the same loop
        return Response(b'{"results":[%b]}' % b",".join(results), media_type=JSON)

    @router.get(
        "/users/{user_id}/recommendations/explain/{item_id}",
        summary="Why an item is not shown",
        responses=responses(422, 503),
        openapi_extra=described(ListParameters),
    )
    async def get_why_not(user_id: Id, item_id: Id, request: Request) -> WhyNot:
        """Goes through the steps of the same request and tells at which the item dropped out, or where it stands."""
        wanted = parameters(request, ListParameters)
        return await inquiry.why_not(item_id, wanted.query(user_id, tokens), await request_states.read(user_id))

    return router
