"""What users would rate items."""

from typing import Any

from fastapi import APIRouter, Response
from pydantic import TypeAdapter, ValidationError

from app.api.problems import fault_of, responses
from app.api.responses import JSON
from app.api.schemas.lists import PairIn, PairsIn, Predictions, RejectedPair
from app.api.strict_route import StrictRoute
from app.serving.predictions import Pair, RatingPredictor
from app.serving.request_state import RequestStates
from app.serving.user_state import UserStates

PREDICTIONS: TypeAdapter[Predictions] = TypeAdapter(Predictions)
pair_adapter: TypeAdapter[PairIn] = TypeAdapter(PairIn)


def predictions_router(user_states: UserStates, request_states: RequestStates) -> APIRouter:
    router = APIRouter(tags=["recommendations"], route_class=StrictRoute)
    predictor = RatingPredictor(user_states, request_states)

    @router.post(
        "/predictions",
        summary="What users would rate items",
        responses=responses(400, 413, 422, 503, also={200: {"model": Predictions}}),
    )
    async def post_predictions(body: PairsIn) -> Response:
        """Up to 1,000 pairs, in their order, each judged by itself: bad ones are named.

        Knows every rating acknowledged before. Of an unknown user, what others think of the item; of an unknown item,
        what the user gives others; `uncertainty` is larger where less is known, and for users who are hard
        to foretell.
        """
        judged = [_judge(index, row) for index, row in enumerate(body.pairs)]
        version, predictions = await predictor.predict([pair for pair in judged if isinstance(pair, Pair)])
        good = iter(predictions)
        results = [row if isinstance(row, RejectedPair) else next(good) for row in judged]
        return Response(PREDICTIONS.dump_json(Predictions(version, results)), media_type=JSON)

    return router


def _judge(index: int, row: Any) -> Pair | RejectedPair:
    """The pair, or what is wrong with it."""
    try:
        pair = pair_adapter.validate_python(row)
    except ValidationError as error:
        return RejectedPair(index, "rejected", fault_of(error))
    return Pair(index, pair.user_id, pair.item_id)
