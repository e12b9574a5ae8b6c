"""Recommendations: lists of items for users and guests, items similar to an item, and why an item is not in a list."""

from asyncio import sleep
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from app.api.access import needs
from app.api.idempotency import writes_nothing
from app.api.list_parameters import GuestBody, ListParameters
from app.api.problems import responses
from app.api.query_string import described, parameters
from app.api.responses import (
    NOT_STORED,
    answered,
    as_bytes,
    held_by,
    is_among,
    json_response,
    unchanged,
    with_ignored,
)
from app.api.routing import AnswerRoute, DirectRoute, service_of
from app.api.schemas.lists import BatchIn, BatchOut, ExplainedGuestRecommendations, GuestRecommendations
from app.api.similar_parameters import SimilarParameters
from app.intake.value_types import Id
from app.serving.exclusion import WhyNot
from app.serving.query import ExplainedRecommendations, ListOptions, Query, Recommendations, SimilarItems
from app.serving.request_state import RequestState
from app.serving.response_cache import CachedResponse

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
SIMILAR_EXAMPLE = {
    "item_id": "318",
    "recommendation_id": "AAAAAAAAAAEAAAAAAAAAAQAF9...",
    "snapshot_version": 1,
    "kind": "blend",
    "items": [
        {
            "item_id": "1",
            "title": "Toy Story",
            "similarity": 0.42,
            "contributions": {"together": 0.1, "taste": 0.3, "features": 0.02},
        }
    ],
    "next_cursor": "eJxjZGBg...",
}
LIST: dict[str, Any] = {
    "model": Recommendations | ExplainedRecommendations,
    "content": {"application/json": {"example": EXAMPLE}},
}
GUEST_LIST: dict[str, Any] = {
    "model": GuestRecommendations | ExplainedGuestRecommendations,
    "content": {"application/json": {"example": EXAMPLE | {"strategy": "fold_in", "ignored_items": []}}},
}
SIMILAR: dict[str, Any] = {"model": SimilarItems, "content": {"application/json": {"example": SIMILAR_EXAMPLE}}}
UNCHANGED = {"description": "The list with this entity tag is still current"}


router = APIRouter(tags=["recommendations"], route_class=AnswerRoute)
# A router of its own, included first in the application, because FastAPI tries the routes of all routers in order.
direct_router = APIRouter(tags=["recommendations"], route_class=DirectRoute)


@direct_router.get(
    "/users/{user_id}/recommendations",
    summary="Recommend items to a user",
    responses=responses(422, 503, also={200: LIST, 304: UNCHANGED}),
    openapi_extra=described(ListParameters) | needs("recommendations:read", browser=True),
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

    async def answer() -> CachedResponse:
        made = await service.recommender.recommend(query, request_state)
        return CachedResponse(await as_bytes(made, wanted.selection, service.store.reads, request_state), made.strategy)

    # An id cannot contain NUL, so the key of the cache is unambiguous.
    question = b"%b\0%b" % (user_id.encode(), request.scope["query_string"])
    return await _tagged(question, query.options, request_state, request, answer)


@direct_router.get(
    "/items/{item_id}/similar",
    summary="List items similar to an item",
    responses=responses(404, 422, 503, also={200: SIMILAR, 304: UNCHANGED}),
    openapi_extra=described(SimilarParameters) | needs("recommendations:read", browser=True),
)
async def get_similar(item_id: Id, request: Request) -> Response:
    """Lists the items most similar to this one, by a blend of what the same users choose, of their taste and of what
    the items are (categories, attributes, titles); `contributions` says how much each adds. Filters act before the cut.

    With `kind`, the items are those that the same users like (`taste`), choose as well (`together`) or choose
    afterwards (`next`); the list is empty where the snapshot holds nothing of this kind. An item that is newer than the
    snapshot is compared by what it is. Before anything is learned, no items are similar. `ETag` as of
    `GET /users/{user_id}/recommendations`, of the user `user_id`.
    """
    service = service_of(request)
    asked = parameters(request, SimilarParameters)
    query = asked.query(item_id, service.tokens)
    request_state = await service.request_states.read(asked.user_id or "")

    async def answer() -> CachedResponse:
        similar = await service.similar_items.similar_items(item_id, asked.kind, query, request_state)
        return CachedResponse(await as_bytes(similar, asked.selection, service.store.reads, request_state))

    question = b"similar\0%b\0%b" % (item_id.encode(), request.scope["query_string"])
    return await _tagged(question, query.options, request_state, request, answer)


async def _tagged(
    question: bytes,
    options: ListOptions,
    request_state: RequestState,
    request: Request,
    answer: Callable[[], Awaitable[CachedResponse]],
) -> Response:
    """304 where the caller holds the current answer to the question; else what is cached, or a new `answer`."""
    service = service_of(request)
    if request_state.is_degraded:
        made = await answer()
        if made.strategy is not None:
            service.metrics.count_recommendations(made.strategy, is_known=request_state.user.is_known)
        return json_response(made.body, is_degraded=True)
    entity_tag, held = request_state.entity_tag(question, options), held_by(request)
    if is_among(entity_tag, held):
        return unchanged(entity_tag)
    # The entity tag covers everything that the list depends on, so an equal tag means an equal list.
    cached = service.cache.get(question, entity_tag)
    if cached is None:
        cached = await answer()
        service.cache.put(question, entity_tag, cached)
    if cached.strategy is not None:
        service.metrics.count_recommendations(cached.strategy, is_known=request_state.user.is_known)
    return answered(cached.body, entity_tag, held)


@router.post(
    "/recommendations",
    summary="Recommend items to a guest",
    responses=responses(400, 413, 422, 503, also={200: GUEST_LIST}),
    openapi_extra=needs("recommendations:read", browser=True),
)
@writes_nothing
async def post_recommendations(request: Request, body: GuestBody) -> Response:
    """Lists items for a guest, who is known by what the body holds alone: ratings, events, and the ids of items that
    the guest looked at. The list is that of a user of whom the same is stored; nothing is stored. Without any of them
    it holds popular items. `ignored_items` names the items that do not exist.

    With `user_id` instead it answers as `GET /users/{user_id}/recommendations`, with room for long filters.
    """
    service = service_of(request)
    request_state = await service.request_states.read(body.user_id or "")
    # To validate 3,000 rows and to parse two long expressions takes some milliseconds each.
    await sleep(0)
    query = body.query(body.user_id, service.tokens)
    await sleep(0)
    if body.ratings:
        query = replace(query, ratings=body.rated(await service.request_states.scale(request_state)))
    if body.events or body.viewed_item_ids:
        query = replace(query, events=body.happened(request_state.config.event_types, request_state.now))
    await sleep(0)
    recommendations = await service.recommender.recommend(query, request_state)
    service.metrics.count_recommendations(recommendations.strategy, is_known=request_state.user.is_known)
    answer = await as_bytes(recommendations, body.selection, service.store.reads, request_state)
    if body.user_id is None:
        answer = with_ignored(answer, body.ignored(request_state.serving.catalogue))
    return json_response(answer, is_degraded=request_state.is_degraded)


@router.post(
    "/recommendations/batch",
    summary="Recommend items to up to 100 users",
    responses=responses(400, 413, 422, 503, also={200: {"model": BatchOut}}),
    openapi_extra=needs("recommendations:read"),
)
@writes_nothing
async def post_batch(request: Request, body: BatchIn) -> Response:
    """Makes one list for each user with the same options, in the order of `user_ids`."""
    service = service_of(request)
    # The expressions of the options are parsed once for all users.
    options = body.options()
    results, is_degraded = [], False
    for user_id in body.user_ids:
        request_state = await service.request_states.read(user_id)
        is_degraded |= request_state.is_degraded
        recommendations = await service.recommender.recommend(Query(user_id, options), request_state)
        service.metrics.count_recommendations(recommendations.strategy, is_known=request_state.user.is_known)
        list_ = await as_bytes(recommendations, body.selection, service.store.reads, request_state)
        results.append(b'{"user_id":%b,"recommendations":%b}' % (to_json(user_id), list_))
        # 100 lists take long. This lets the event loop serve other requests in between.
        await sleep(0)
    return json_response(b'{"results":[%b]}' % b",".join(results), is_degraded=is_degraded)


@router.get(
    "/users/{user_id}/recommendations/explain/{item_id}",
    summary="Explain why an item is not recommended",
    responses=responses(422, 503),
    openapi_extra=described(ListParameters) | needs("recommendations:read"),
)
async def get_why_not(user_id: Id, item_id: Id, request: Request, response: Response) -> WhyNot:
    """Repeats the steps of the same request for a list. Returns the step at which the item was dropped, or its rank."""
    service = service_of(request)
    query = parameters(request, ListParameters).query(user_id, service.tokens)
    request_state = await service.request_states.read(user_id)
    why = await service.exclusion.explain(item_id, query, request_state)
    why.degraded = request_state.is_degraded
    if why.degraded:
        response.headers.update(NOT_STORED)
    return why
