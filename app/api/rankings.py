"""Rankings: the caller's own candidates, sorted for a user."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from app.api.list_parameters import RankingBody
from app.api.problems import responses
from app.api.responses import JSON
from app.api.routing import StrictRoute, service_of
from app.serving.query import Query
from app.serving.rankings import ExplainedRanking, Ranking

# One adapter for each class: a union would try both for every answer.
PLAIN: TypeAdapter[Ranking] = TypeAdapter(Ranking)
EXPLAINED: TypeAdapter[ExplainedRanking] = TypeAdapter(ExplainedRanking)
RANKING: dict[str, Any] = {"model": Ranking | ExplainedRanking}

router = APIRouter(tags=["recommendations"], route_class=StrictRoute)


@router.post(
    "/rankings",
    summary="Rank your own candidates",
    responses=responses(400, 413, 422, 503, also={200: RANKING}),
)
async def post_ranking(request: Request, body: RankingBody) -> Response:
    """Ranks up to 1,000 items for a user or a guest, best first, under the rules of the placement.

    `excluded` holds the items that the request or a rule excludes, with the rule: items that are not available, items
    with negative events of the user, and consumed items unless the placement sets `consume_again`. `unknown` holds the
    ids of items that do not exist.
    """
    service = service_of(request)
    request_state = await service.request_states.read(body.user_id or "")
    # Only ratings in the body are checked against the scale, so only they need the read.
    rated = body.rated(await service.store.reads.scale()) if body.ratings else ()
    ranking = await service.rankings.rank(body.item_ids, Query(body.user_id, body.options(), rated), request_state)
    if isinstance(ranking, ExplainedRanking):
        return Response(EXPLAINED.dump_json(ranking), media_type=JSON)
    return Response(PLAIN.dump_json(ranking), media_type=JSON)
