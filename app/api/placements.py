"""Placements: named places where lists are shown, with their rules. A change applies at once in every process."""

import re
from asyncio import sleep
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.access import caller_of, needs
from app.api.idempotency import acts_once, writes_nothing
from app.api.list_parameters import ListBody
from app.api.problems import responses
from app.api.recommendations import LIST
from app.api.responses import as_response
from app.api.routing import AnswerRoute, StrictRoute, service_of
from app.errors import ChangedMeanwhileError, InvalidInputError, NotFoundError
from app.intake.value_types import Id
from app.serving.placement import NAME_PATTERN, Placement
from app.serving.placement_config import CompiledPlacement
from app.serving.placement_editor import DeletedVersionError, NumberedPlacement
from app.serving.query import Query as ListQuery
from app.serving.request_state import RequestState
from app.serving.tokens import TokenSigner
from app.store import STORED
from app.store.placements import KEPT_VERSIONS, PlacementVersion

# Weak tags are accepted: a proxy that compresses answers makes them weak, and the number means the same.
ENTITY_TAG = re.compile(r'(?:W/)?"([^"\s,]*)"')
NUMBER = re.compile(r"[0-9]{1,18}")

TAGGED: dict[str, Any] = {
    "headers": {"ETag": {"description": "The number of the version, for `If-Match`", "schema": {"type": "string"}}}
}
CHANGED = {
    "another version is stored than `If-Match` names": ChangedMeanwhileError(
        "the placement 'home' has the version 3 now; nothing was changed", 3
    )
}

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="The `ETag` of the version that the caller has seen: where another one is stored now, nothing is"
        " changed, and the answer is 412",
    ),
]
# Below 2^63, the largest number that the database can hold.
VersionNumber = Annotated[int, Path(ge=1, lt=2**63, examples=[1])]
PlacementName = Annotated[str, Path(pattern=NAME_PATTERN, description="`home`, `item-page`, `email`, ...")]

router = APIRouter(prefix="/placements", tags=["placements"], route_class=StrictRoute)
answer_router = APIRouter(prefix="/placements", tags=["placements"], route_class=AnswerRoute)


class PlacementOut(BaseModel):
    name: str = Field(examples=["home"])
    version: int = Field(description="The number of this version, as in `ETag`; 0: it was never changed")
    settings: Placement

    @classmethod
    def from_placement(cls, placement: NumberedPlacement) -> Self:
        return cls(name=placement.name, version=placement.number, settings=placement.settings)


class PlacementsOut(BaseModel):
    placements: list[PlacementOut]


class PlacementVersionOut(BaseModel):
    number: int = Field(description="Counts the changes of the placement", examples=[3])
    settings: dict[str, Any] | None = Field(
        description="As they were stored then; null: the placement was deleted", examples=[{"diversity": 0.3}]
    )
    changed_at: datetime = Field(examples=["2024-03-01T20:15:00Z"])
    changed_by: str | None = Field(
        description="The id of the API key, or `command line`; null where the service was open",
        examples=["4f1d09c2ab77"],
    )

    @classmethod
    def from_version(cls, version: PlacementVersion) -> Self:
        return cls(**{name: getattr(version, name) for name in cls.model_fields})


class PlacementVersionsOut(BaseModel):
    name: str
    versions: list[PlacementVersionOut] = Field(description="Newest first")


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
    placements = service_of(request).placement_editor.all()
    return PlacementsOut(placements=[PlacementOut.from_placement(each) for each in placements])


@router.get(
    "/{name}",
    summary="Get a placement",
    responses=responses(404, 422, 503, also={200: TAGGED}),
    openapi_extra=needs("catalogue:write", "console"),
)
def get_placement(request: Request, name: PlacementName, response: Response) -> PlacementOut:
    return _tagged(response, PlacementOut.from_placement(service_of(request).placement_editor.get(name)))


@router.put(
    "/{name}",
    summary="Create or replace a placement",
    responses=responses(
        *(400, 412, 413, 422, 503, 507), also={200: TAGGED, 201: {"model": PlacementOut, **TAGGED}}, errors=CHANGED
    ),
    openapi_extra=needs("catalogue:write", audit="placements.put"),
)
def put_placement(
    request: Request, name: PlacementName, body: Placement, response: Response, if_match: IfMatch = None
) -> PlacementOut:
    """Replaces the whole placement: settings that are left out get their defaults. Applies to the next request of
    every process. An expression that names an attribute or a category that no item has is refused, unless
    `allow_unknown` is true. Settings that are stored already make no new version.
    """
    editor, changed_by = service_of(request).placement_editor, caller_of(request).key_id
    change = editor.put(name, body, changed_by=changed_by, expected=_expected(if_match))
    response.status_code = 201 if change.status == STORED else 200
    return _tagged(response, PlacementOut(name=name, version=change.number, settings=body))


@router.delete(
    "/{name}",
    summary="Delete a placement",
    status_code=204,
    responses=responses(412, 422, 503, errors=CHANGED),
    openapi_extra=needs("catalogue:write", audit="placements.delete"),
)
def delete_placement(request: Request, name: PlacementName, if_match: IfMatch = None) -> None:
    """204 also if there is no such placement. `home` returns to the default settings. Its versions stay, so it can be
    restored.
    """
    editor, changed_by = service_of(request).placement_editor, caller_of(request).key_id
    editor.delete(name, changed_by=changed_by, expected=_expected(if_match))


@router.get(
    "/{name}/versions",
    summary="List the versions of a placement",
    responses=responses(404, 422, 503),
    openapi_extra=needs("catalogue:write", "console"),
)
def get_placement_versions(
    request: Request,
    name: PlacementName,
    limit: Annotated[int, Query(ge=1, le=KEPT_VERSIONS)] = KEPT_VERSIONS,
) -> PlacementVersionsOut:
    """Every change of a placement is a version, its deletion included. The newest 100 of each placement are kept."""
    found = service_of(request).placement_editor.versions(name, limit)
    return PlacementVersionsOut(name=name, versions=[PlacementVersionOut.from_version(each) for each in found])


@router.post(
    "/{name}/versions/{number}/restore",
    summary="Restore a version of a placement",
    responses=responses(
        *(404, 409, 412, 422, 503, 507),
        also={200: TAGGED},
        errors={**CHANGED, "it is a deletion": DeletedVersionError("home", 2)},
    ),
    openapi_extra=needs("catalogue:write", audit="placements.restore"),
)
@acts_once
def restore_placement(
    request: Request, name: PlacementName, number: VersionNumber, response: Response, if_match: IfMatch = None
) -> PlacementOut:
    """Stores the settings of an earlier version as a new one. They are checked as a new placement is: what they name
    may be gone. Settings that are stored already make no new version.
    """
    editor, changed_by = service_of(request).placement_editor, caller_of(request).key_id
    restored = editor.restore(name, number, changed_by=changed_by, expected=_expected(if_match))
    return _tagged(response, PlacementOut.from_placement(restored))


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


def _tagged(response: Response, placement: PlacementOut) -> PlacementOut:
    response.headers["ETag"] = f'"{placement.version}"'
    return placement


def _expected(if_match: str | None) -> frozenset[int] | None:
    """Return the numbers of the versions that the header names; None without it.

    Raises `InvalidInputError` unless it is a list of entity tags. `*` is refused: it names no version.
    """
    if if_match is None:
        return None
    tags = [ENTITY_TAG.fullmatch(each.strip()) for each in if_match.split(",")]
    if not all(tags):
        raise InvalidInputError('the header takes the `ETag` of a placement, such as "3"', field="header.If-Match")
    # A tag that is no number is none of ours, and matches no version.
    return frozenset(int(tag[1]) for tag in tags if tag is not None and NUMBER.fullmatch(tag[1]))


def _with_settings(request_state: RequestState, name: str, settings: Placement | None) -> RequestState:
    if settings is not None:
        return request_state.with_placement(name, CompiledPlacement(settings))
    if name not in request_state.config.placements:
        raise NotFoundError("placement", name)
    return request_state


def _query(name: str, body: PreviewIn, tokens: TokenSigner) -> ListQuery:
    # A preview is always of the placement in the path; the body may repeat its name but not contradict it.
    if "placement" in body.model_fields_set and body.placement != name:
        raise InvalidInputError(f"the path names the placement {name!r}", field="body.placement")
    query = body.query(body.user_id, tokens)
    return replace(query, options=replace(query.options, placement=name))
