"""Predicted ratings of pairs of a user and an item."""

from asyncio import sleep
from collections.abc import Sequence
from dataclasses import fields

from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter
from pydantic_core import to_json

from app.api.access import needs
from app.api.idempotency import writes_nothing
from app.api.item_fields import OF_EVERY_ANSWER
from app.api.problems import responses
from app.api.responses import json_response
from app.api.routing import AnswerRoute, service_of
from app.api.schemas.lists import PairIn, PairsIn, Predictions, RejectedPair
from app.intake.rows import read_rows
from app.serving.item_details import ItemSelection, read_details, remembered_details
from app.serving.predictions import Pair, Prediction
from app.serving.request_state import RequestState
from app.wiring import Service

ROWS_AT_ONCE = 250
"""Between two turns of other requests."""

PREDICTIONS: TypeAdapter[Predictions] = TypeAdapter(Predictions)

router = APIRouter(tags=["recommendations"], route_class=AnswerRoute)


@router.post(
    "/predictions",
    summary="Predict ratings",
    responses=responses(400, 413, 422, 503, also={200: {"model": Predictions}}),
    openapi_extra=needs("recommendations:read"),
)
@writes_nothing
async def post_predictions(request: Request, body: PairsIn) -> Response:
    """Predicts the ratings of up to 1,000 pairs, in their order. Checks each pair separately and reports
    those that are not valid.

    Takes every acknowledged rating into account. The prediction for an unknown user is what other users think of the
    item; for an unknown item, how the user rates in general. `uncertainty` is larger if less is known, and for users
    who are hard to predict.
    """
    await sleep(0)  # to validate, to predict and to write 1,000 pairs takes some milliseconds each
    rows = read_rows(body.pairs, PairIn, lambda pair: pair)
    await sleep(0)
    pairs = [Pair(index, row.user_id, row.item_id) for index, row in enumerate(rows) if isinstance(row, PairIn)]
    service = service_of(request)
    request_state, predictions = await service.predictor.predict(pairs)
    await sleep(0)
    # The predictions are those of the valid pairs, in order; the problems of the others go between them.
    good = iter(predictions)
    results = [
        RejectedPair(index, "rejected", row) if isinstance(row, str) else next(good) for index, row in enumerate(rows)
    ]
    selection = ItemSelection.parse(body.fields, OF_EVERY_ANSWER)
    if not selection.is_everything_default:
        answer = await _with_items(results, selection, service, request_state)
    else:
        made = Predictions(request_state.serving.version, results, degraded=request_state.is_degraded)
        answer = PREDICTIONS.dump_json(made)
    return json_response(answer, is_degraded=request_state.is_degraded)


async def _with_items(
    results: Sequence[Prediction | RejectedPair],
    selection: ItemSelection,
    service: Service,
    request_state: RequestState,
) -> bytes:
    """The answer as JSON, each prediction with the selected fields of its item."""
    catalogue = request_state.serving.catalogue
    item_ids = [each.item_id for each in results if isinstance(each, Prediction)]
    if request_state.is_degraded:
        details = iter(remembered_details(item_ids, selection, catalogue))
    else:
        details = iter(await read_details(item_ids, selection, service.store.reads, catalogue))
    titles = catalogue.titles
    documents = []
    for place, each in enumerate(results, start=1):
        # `asdict` would copy each value, which takes ten times as long.
        document = {field.name: getattr(each, field.name) for field in fields(each)}
        if isinstance(each, Prediction):
            document |= next(details)
            if "title" in selection.answer_fields:
                row = catalogue.row_of_id(each.item_id)
                document["title"] = None if row is None else titles[row]
        documents.append(document)
        if place % ROWS_AT_ONCE == 0:
            await sleep(0)
    mark = {"degraded": True} if request_state.is_degraded else {}
    return to_json({"snapshot_version": request_state.serving.version, "results": documents} | mark)
