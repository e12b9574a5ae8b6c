"""Placements: where lists are shown, and the rules that hold there; valid at once in every process."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.api.problems import responses
from app.api.recommendations import LIST
from app.api.responses import JSON, as_bytes
from app.api.schemas.placements import PlacementOut, PlacementsOut, PreviewIn
from app.api.strict_route import StrictRoute
from app.errors import InvalidInputError, NotFoundError
from app.serving.placement import NAME_PATTERN, Placement, parse_placement
from app.serving.placement_config import CompiledPlacement
from app.serving.query import DEFAULT_PLACEMENT, Query
from app.serving.recommend import Recommender
from app.serving.request_state import RequestStates
from app.serving.tokens import TokenSigner
from app.store import STORED
from app.store.placements import Placements, Settings

PlacementName = Annotated[str, Path(pattern=NAME_PATTERN, description="`home`, `item-page`, `email`, ...")]


def placements_router(
    placements: Placements, recommender: Recommender, request_states: RequestStates, tokens: TokenSigner
) -> APIRouter:
    router = APIRouter(prefix="/placements", tags=["placements"], route_class=StrictRoute)

    def stored(name: str) -> Placement:
        document = placements.get(name)
        if document is None and name != DEFAULT_PLACEMENT:
            raise NotFoundError("placement", name)
        return parse_placement(document or {})

    @router.get("", summary="All placements", responses=responses(422, 503))
    def get_placements() -> PlacementsOut:
        """`home` is always there; it has the default settings until others are put."""
        documents: dict[str, Settings] = {DEFAULT_PLACEMENT: {}} | placements.all()
        return PlacementsOut(
            placements=[PlacementOut(name=name, settings=parse_placement(each)) for name, each in documents.items()]
        )

    @router.get("/{name}", summary="A placement", responses=responses(404, 422, 503))
    def get_placement(name: PlacementName) -> PlacementOut:
        return PlacementOut(name=name, settings=stored(name))

    @router.put(
        "/{name}",
        summary="Make or replace a placement",
        responses=responses(400, 413, 422, 503, 507, also={201: {"model": PlacementOut}}),
    )
    def put_placement(name: PlacementName, body: Placement, response: Response) -> PlacementOut:
        """Replaces the whole: what is left out gets its default. The next answer of every process follows it."""
        CompiledPlacement.from_settings(body)  # its expressions parse
        response.status_code = 201 if placements.put(name, body.document) == STORED else 200
        return PlacementOut(name=name, settings=body)

    @router.delete("/{name}", summary="Delete a placement", status_code=204, responses=responses(422, 503))
    def delete_placement(name: PlacementName) -> None:
        """204 also when there is none. `home` goes back to the default settings."""
        placements.delete(name)

    @router.post(
        "/{name}/preview",
        summary="Try settings out",
        responses=responses(400, 404, 413, 422, 503, also={200: LIST}),
    )
    async def post_preview(name: PlacementName, body: PreviewIn) -> Response:
        """What a user would be shown under the `settings` in the body (or else those stored); stores nothing."""
        request_state = await request_states.read(body.user_id)
        if body.settings is not None:
            request_state = request_state.with_placement(name, CompiledPlacement.from_settings(body.settings))
        elif name not in request_state.config.placements:
            raise NotFoundError("placement", name)
        answer = await recommender.recommend(_previewed(name, body, tokens), request_state)
        return Response(as_bytes(answer, body.fields), media_type=JSON)

    return router


def _previewed(name: str, body: PreviewIn, tokens: TokenSigner) -> Query:
    if "placement" in body.model_fields_set and body.placement != name:
        raise InvalidInputError(f"the placement is that of the path, {name!r}", field="body.placement")
    query = body.query(body.user_id, tokens)
    return replace(query, options=replace(query.options, placement=name))
