"""Rankings: the caller's own candidates, sorted for a user."""

from asyncio import sleep
from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.access import needs
from app.api.idempotency import writes_nothing
from app.api.list_parameters import RankingBody
from app.api.problems import responses
from app.api.responses import as_response
from app.api.routing import AnswerRoute, service_of
from app.serving.query import Query
from app.serving.rankings import ExplainedRanking, Ranking

RANKING: dict[str, Any] = {"model": Ranking | ExplainedRanking}

router = APIRouter(tags=["recommendations"], route_class=AnswerRoute)


@router.post(
    "/rankings",
    summary="Rank your own candidates",
    responses=responses(400, 413, 422, 503, also={200: RANKING}),
    openapi_extra=needs("recommendations:read"),
)
@writes_nothing
async def post_ranking(request: Request, body: RankingBody) -> Response:
    """Ranks up to 1,000 items for a user or a guest, best first, under the rules of the placement.

    `excluded` holds the items that the request or a rule excludes, with the rule: items that are not available, items
    with negative events of the user, and consumed items unless the placement sets `consume_again`. `unknown` holds the
    ids of items that do not exist. For a guest, who is known by ratings, events and items looked at as in
    `POST /recommendations`, `ignored_items` names those of them that do not exist.
    """
    service = service_of(request)
    request_state = await service.request_states.read(body.user_id or "")
    # To validate 4,000 rows and to parse two long expressions takes some milliseconds each.
    await sleep(0)
    options = body.options()
    await sleep(0)
    # Only ratings in the body are checked against the scale, so only they need the read.
    rated = body.rated(await service.request_states.scale(request_state)) if body.ratings else ()
    happened = body.happened(request_state.config.event_types, request_state.now)
    query = Query(body.user_id, options, rated, events=happened)
    ranking = await service.rankings.rank(body.item_ids, query, request_state)
    if body.user_id is None:
        ranking.ignored_items = body.ignored(request_state.serving.catalogue)
    return await as_response(ranking, body.selection, service.store.reads, request_state)
