"""Placements: named places where lists are shown, with their rules. A change applies at once in every process."""

from asyncio import sleep
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.access import needs
from app.api.idempotency import writes_nothing
from app.api.list_parameters import ListBody
from app.api.problems import responses
from app.api.recommendations import LIST
from app.api.responses import as_response
from app.api.routing import AnswerRoute, StrictRoute, service_of
from app.api.types import Id
from app.errors import InvalidInputError, NotFoundError
from app.serving.placement import NAME_PATTERN, Placement, parse_placement
from app.serving.placement_config import CompiledPlacement
from app.serving.query import DEFAULT_PLACEMENT, Query
from app.serving.request_state import RequestState
from app.serving.tokens import TokenSigner
from app.store import STORED

PlacementName = Annotated[str, Path(pattern=NAME_PATTERN, description="`home`, `item-page`, `email`, ...")]

router = APIRouter(prefix="/placements", tags=["placements"], route_class=StrictRoute)
answer_router = APIRouter(prefix="/placements", tags=["placements"], route_class=AnswerRoute)


class PlacementOut(BaseModel):
    name: str = Field(examples=["home"])
    settings: Placement


class PlacementsOut(BaseModel):
    placements: list[PlacementOut]


class PreviewIn(ListBody):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "1", "limit": 5, "settings": {"diversity": 0.3}}]}
    )

    user_id: Id
    settings: Placement | None = Field(None, description="Settings to try out; null: the stored settings")


@router.get(
    "", summary="List all placements", responses=responses(422, 503), openapi_extra=needs("catalogue:write", "console")
)
def get_placements(request: Request) -> PlacementsOut:
    """`home` always exists; it has the default settings until others are put."""
    stored = service_of(request).store.placements.all()
    # `home` comes first even if it is not stored; a stored one replaces the defaults.
    documents = {DEFAULT_PLACEMENT: stored.get(DEFAULT_PLACEMENT, {})} | stored
    return PlacementsOut(
        placements=[PlacementOut(name=name, settings=parse_placement(each)) for name, each in documents.items()]
    )


@router.get(
    "/{name}",
    summary="Get a placement",
    responses=responses(404, 422, 503),
    openapi_extra=needs("catalogue:write", "console"),
)
def get_placement(request: Request, name: PlacementName) -> PlacementOut:
    document = service_of(request).store.placements.get(name)
    if document is None and name != DEFAULT_PLACEMENT:
        raise NotFoundError("placement", name)
    return PlacementOut(name=name, settings=parse_placement(document or {}))


@router.put(
    "/{name}",
    summary="Create or replace a placement",
    responses=responses(400, 413, 422, 503, 507, also={201: {"model": PlacementOut}}),
    openapi_extra=needs("catalogue:write", audit="placements.put"),
)
def put_placement(request: Request, name: PlacementName, body: Placement, response: Response) -> PlacementOut:
    """Replaces the whole placement: settings that are left out get their defaults. Applies to the next request of
    every process. An expression that names an attribute or a category that no item has is refused, unless
    `allow_unknown` is true.
    """
    service = service_of(request)
    catalogue = service.serving.current.catalogue
    # Items that were stored through another process count, too.
    catalogue.refresh()
    # Both raise before anything is stored.
    CompiledPlacement(body).check_names(catalogue)
    status = service.store.placements.put(name, body.document)
    response.status_code = 201 if status == STORED else 200
    return PlacementOut(name=name, settings=body)


@router.delete(
    "/{name}",
    summary="Delete a placement",
    status_code=204,
    responses=responses(422, 503),
    openapi_extra=needs("catalogue:write", audit="placements.delete"),
)
def delete_placement(request: Request, name: PlacementName) -> None:
    """204 also if there is no such placement. `home` returns to the default settings."""
    service_of(request).store.placements.delete(name)


@answer_router.post(
    "/{name}/preview",
    summary="Try out settings",
    responses=responses(400, 404, 413, 422, 503, also={200: LIST}),
    openapi_extra=needs("catalogue:write", "console"),
)
@writes_nothing
async def post_preview(request: Request, name: PlacementName, body: PreviewIn) -> Response:
    """Answers what a user would be shown under the `settings` in the body, or under the stored settings. Stores
    nothing. `notes` says which attributes and categories of the settings no item has, and whether the settings leave
    no item.
    """
    service = service_of(request)
    request_state = _with_settings(await service.request_states.read(body.user_id), name, body.settings)
    await sleep(0)  # to parse four long expressions takes some milliseconds each
    query = _query(name, body, service.tokens)
    recommendations = await service.recommender.recommend(query, request_state)
    recommendations.notes += await service.recommender.placement_notes(query, request_state)
    return await as_response(recommendations, body.selection, service.store.reads, request_state)


def _with_settings(request_state: RequestState, name: str, settings: Placement | None) -> RequestState:
    if settings is not None:
        return request_state.with_placement(name, CompiledPlacement(settings))
    if name not in request_state.config.placements:
        raise NotFoundError("placement", name)
    return request_state


def _query(name: str, body: PreviewIn, tokens: TokenSigner) -> Query:
    # A preview is always of the placement in the path; the body may repeat its name but not contradict it.
    if "placement" in body.model_fields_set and body.placement != name:
        raise InvalidInputError(f"the path names the placement {name!r}", field="body.placement")
    query = body.query(body.user_id, tokens)
    return replace(query, options=replace(query.options, placement=name))
