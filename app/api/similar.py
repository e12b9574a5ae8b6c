"""Items that are similar to an item."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.api.problems import responses
from app.api.query_string import described, parameters
from app.api.responses import JSON
from app.api.routing import DirectRoute, service_of
from app.api.types import Id
from app.serving.query import SimilarItems
from app.serving.similar import similar_items

SIMILAR: TypeAdapter[SimilarItems] = TypeAdapter(SimilarItems)

router = APIRouter(tags=["recommendations"], route_class=DirectRoute)


class SimilarParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100, description="Number of items")] = 20


@router.get(
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
    return Response(SIMILAR.dump_json(await similar_items(item_id, limit, request_state.serving)), media_type=JSON)
