"""What is like what."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.api.problems import responses
from app.api.query_string import described, parameters
from app.api.responses import JSON
from app.api.strict_route import StrictRoute
from app.api.types import Id
from app.serving.query import SimilarItems
from app.serving.request_state import RequestStates
from app.serving.similar import similar_items


class SimilarParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100, description="How many items")] = 20


SIMILAR: TypeAdapter[SimilarItems] = TypeAdapter(SimilarItems)


def similar_router(request_states: RequestStates) -> APIRouter:
    router = APIRouter(tags=["recommendations"], route_class=StrictRoute)

    @router.get(
        "/items/{item_id}/similar",
        summary="Items like an item",
        responses=responses(404, 422, 503, also={200: {"model": SimilarItems}}),
        openapi_extra=described(SimilarParameters),
    )
    async def get_similar(item_id: Id, request: Request) -> Response:
        """By what they have in common in the eyes of raters; empty for one that nobody had rated at the snapshot."""
        limit = parameters(request, SimilarParameters).limit
        request_state = await request_states.read("")
        return Response(SIMILAR.dump_json(await similar_items(item_id, limit, request_state.serving)), media_type=JSON)

    return router
