"""Predicted ratings of pairs of a user and an item."""

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter

from app.api.problems import responses
from app.api.responses import JSON
from app.api.routing import StrictRoute, service_of
from app.api.schemas.body import read_rows
from app.api.schemas.lists import PairIn, PairsIn, Predictions, RejectedPair
from app.serving.predictions import Pair

PREDICTIONS: TypeAdapter[Predictions] = TypeAdapter(Predictions)

router = APIRouter(tags=["recommendations"], route_class=StrictRoute)


@router.post(
    "/predictions",
    summary="Predict ratings",
    responses=responses(400, 413, 422, 503, also={200: {"model": Predictions}}),
)
async def post_predictions(request: Request, body: PairsIn) -> Response:
    """Predicts the ratings of up to 1,000 pairs, in their order. Checks each pair separately and reports
    those that are not valid.

    Takes every acknowledged rating into account. The prediction for an unknown user is what other users think of the
    item; for an unknown item, how the user rates in general. `uncertainty` is larger if less is known, and for users
    who are hard to predict.
    """
    rows = read_rows(body.pairs, PairIn, lambda pair: pair)
    pairs = [Pair(index, row.user_id, row.item_id) for index, row in enumerate(rows) if isinstance(row, PairIn)]
    version, predictions = await service_of(request).predictor.predict(pairs)
    # The predictions are those of the valid pairs, in order; the problems of the others go between them.
    good = iter(predictions)
    results = [
        RejectedPair(index, "rejected", row) if isinstance(row, str) else next(good) for index, row in enumerate(rows)
    ]
    return Response(PREDICTIONS.dump_json(Predictions(version, results)), media_type=JSON)
