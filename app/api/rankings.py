"""The caller's own candidates, in order."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import TypeAdapter

from app.api.list_parameters import RankingBody
from app.api.problems import responses
from app.api.responses import JSON
from app.api.strict_route import StrictRoute
from app.serving.query import Query
from app.serving.rankings import CandidateRanker, ExplainedRanking, Ranking
from app.serving.recommend import Recommender
from app.serving.request_state import RequestStates
from app.store.serving_reads import ServingReads

PLAIN: TypeAdapter[Ranking] = TypeAdapter(Ranking)
EXPLAINED: TypeAdapter[ExplainedRanking] = TypeAdapter(ExplainedRanking)
RANKING: dict[str, Any] = {"model": Ranking | ExplainedRanking}


def rankings_router(recommender: Recommender, request_states: RequestStates, reads: ServingReads) -> APIRouter:
    router = APIRouter(tags=["recommendations"], route_class=StrictRoute)
    rankings = CandidateRanker(recommender)

    @router.post(
        "/rankings",
        summary="Rank your own candidates",
        responses=responses(400, 413, 422, 503, also={200: RANKING}),
    )
    async def post_ranking(body: RankingBody) -> Response:
        """All of up to 1,000 items, best first for the user or the guest, under the rules of the placement.

        What the request or a rule rules out (what is not available, what the user's events speak against, what was
        consumed: unless the placement sets `consume_again`) is in `excluded`, with the rule; what there is not, in
        `unknown`.
        """
        request_state = await request_states.read(body.user_id or "")
        rated = body.rated(await reads.scale()) if body.ratings else ()
        ranking = await rankings.rank(body.item_ids, Query(body.user_id, body.options(), rated), request_state)
        if isinstance(ranking, ExplainedRanking):
            return Response(EXPLAINED.dump_json(ranking), media_type=JSON)
        return Response(PLAIN.dump_json(ranking), media_type=JSON)

    return router
