"""Recommendations: lists of items for users and guests, items similar to an item, and why an item is not in a list."""

from asyncio import sleep
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import to_json

from app.api.list_parameters import GuestBody, ListParameters
from app.api.problems import responses
from app.api.query_string import described, parameters
from app.api.responses import JSON, answered, as_bytes, held_by, is_among, unchanged
from app.api.routing import DirectRoute, StrictRoute, service_of
from app.api.schemas.lists import BatchIn, BatchOut
from app.api.types import Id
from app.serving.exclusion import WhyNot
from app.serving.query import ExplainedRecommendations, Query, Recommendations, SimilarItems
from app.serving.response_cache import CachedResponse
from app.serving.similar import similar_items

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
SIMILAR: TypeAdapter[SimilarItems] = TypeAdapter(SimilarItems)
UNCHANGED = {"description": "The list with this entity tag is still current"}


router = APIRouter(tags=["recommendations"], route_class=StrictRoute)
# A router of its own, included first in the application, because FastAPI tries the routes of all routers in order.
direct_router = APIRouter(tags=["recommendations"], route_class=DirectRoute)


@direct_router.get(
    "/users/{user_id}/recommendations",
    summary="Recommend items to a user",
    responses=responses(422, 503, also={200: LIST, 304: UNCHANGED}),
    openapi_extra=described(ListParameters),
)
async def get_recommendations(user_id: Id, request: Request) -> Response:
    """Lists items that the user has not rated, best first. Takes every acknowledged rating, event and change into
    account.

    `strategy` says how the list was made: `personalized` (by the user's vector in the snapshot), `fold_in` (there are
    newer ratings or events: the vector was computed for this list), `profile` (there are none, but the user's
    attributes tell something) or `popular` (nothing is known of the user, or the user is unknown). The list has as many
    items as requested, if that many are eligible. The `ETag` stays the same until the snapshot, the catalogue, the
    placement or the user changes.
    """
    service = service_of(request)
    wanted = parameters(request, ListParameters)
    query = wanted.query(user_id, service.tokens)
    request_state = await service.request_states.read(user_id)
    # An id cannot contain NUL, so the key of the cache is unambiguous.
    question = b"%b\0%b" % (user_id.encode(), request.scope["query_string"])
    entity_tag = request_state.entity_tag(question, query.options)
    held = held_by(request)
    if is_among(entity_tag, held):
        return unchanged(entity_tag)
    # The entity tag covers everything that the list depends on, so an equal tag means an equal list.
    cached = service.cache.get(question, entity_tag)
    if cached is None:
        recommendations = await service.recommender.recommend(query, request_state)
        cached = CachedResponse(
            recommendations.strategy, await as_bytes(recommendations, wanted.selection, service.store.reads)
        )
        service.cache.put(question, entity_tag, cached)
    service.metrics.count_recommendations(cached.strategy)
    return answered(cached.body, entity_tag, held)


class SimilarParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100, description="Number of items")] = 20


@direct_router.get(
    "/items/{item_id}/similar",
    summary="List items similar to an item",
    responses=responses(404, 422, 503, also={200: {"model": SimilarItems}}),
    openapi_extra=described(SimilarParameters),
)
async def get_similar(item_id: Id, request: Request) -> Response:
    """Lists items that the same users like. The list is empty for an item without ratings at the time of the
    snapshot.
    """
    limit = parameters(request, SimilarParameters).limit
    request_state = await service_of(request).request_states.read("")
    return Response(SIMILAR.dump_json(await similar_items(item_id, limit, request_state)), media_type=JSON)


@router.post(
    "/recommendations",
    summary="Recommend items to a guest",
    responses=responses(400, 413, 422, 503, also={200: LIST}),
)
async def post_recommendations(request: Request, body: GuestBody) -> Response:
    """Lists items for a guest, who is known by the ratings in the body alone; nothing is stored. Without ratings the
    list holds popular items.

    With `user_id` instead of ratings it answers as `GET /users/{user_id}/recommendations`, with room for long filters.
    """
    service = service_of(request)
    request_state = await service.request_states.read(body.user_id or "")
    query = body.query(body.user_id, service.tokens)
    if body.ratings:
        query = replace(query, ratings=body.rated(await service.store.reads.scale()))
    recommendations = await service.recommender.recommend(query, request_state)
    service.metrics.count_recommendations(recommendations.strategy)
    return Response(await as_bytes(recommendations, body.selection, service.store.reads), media_type=JSON)


@router.post(
    "/recommendations/batch",
    summary="Recommend items to up to 100 users",
    responses=responses(400, 413, 422, 503, also={200: {"model": BatchOut}}),
)
async def post_batch(request: Request, body: BatchIn) -> Response:
    """Makes one list for each user with the same options, in the order of `user_ids`."""
    service = service_of(request)
    # The expressions of the options are parsed once for all users.
    options = body.options()
    results = []
    for user_id in body.user_ids:
        request_state = await service.request_states.read(user_id)
        recommendations = await service.recommender.recommend(Query(user_id, options), request_state)
        service.metrics.count_recommendations(recommendations.strategy)
        list_ = await as_bytes(recommendations, body.selection, service.store.reads)
        results.append(b'{"user_id":%b,"recommendations":%b}' % (to_json(user_id), list_))
        # 100 lists take long. This lets the event loop serve other requests in between.
        await sleep(0)
    return Response(b'{"results":[%b]}' % b",".join(results), media_type=JSON)


@router.get(
    "/users/{user_id}/recommendations/explain/{item_id}",
    summary="Explain why an item is not recommended",
    responses=responses(422, 503),
    openapi_extra=described(ListParameters),
)
async def get_why_not(user_id: Id, item_id: Id, request: Request) -> WhyNot:
    """Repeats the steps of the same request for a list. Returns the step at which the item was dropped, or its rank."""
    service = service_of(request)
    query = parameters(request, ListParameters).query(user_id, service.tokens)
    return await service.exclusion.explain(item_id, query, await service.request_states.read(user_id))
