"""A user's home page, mixes and similar users."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import TypeAdapter

from app.api.access import needs
from app.api.item_fields import SelectedUnexplained
from app.api.problems import responses
from app.api.responses import JSON, as_response
from app.api.routing import AnswerRoute, service_of
from app.intake.value_types import Id, Name
from app.serving.home import Home
from app.serving.item_details import ItemSelection
from app.serving.mixes import Mixes
from app.serving.query import DEFAULT_PLACEMENT, ListOptions
from app.serving.query import Query as ListQuery
from app.serving.similar_users import SimilarUsers

SIMILAR_USERS: TypeAdapter[SimilarUsers] = TypeAdapter(SimilarUsers)

# Both pages make one list for each row, so the number of items is bounded as for a single list.
Limit = Annotated[int, Query(ge=1, le=100, description="Maximum number of items in each")]
PlacementName = Annotated[Name, Query(max_length=100, description="The placement whose rules apply")]

router = APIRouter(prefix="/users/{user_id}", tags=["recommendations"], route_class=AnswerRoute)


@router.get(
    "/home",
    summary="Get a user's home page",
    responses=responses(422, 503, also={200: {"model": Home}}),
    openapi_extra=needs("recommendations:read", browser=True),
)
async def get_home(
    request: Request,
    user_id: Id,
    n_rows: Annotated[int, Query(ge=1, le=20, description="Maximum number of rows")] = 8,
    limit: Limit = 20,
    placement: PlacementName = DEFAULT_PLACEMENT,
    fields: Annotated[SelectedUnexplained, Query()] = [],  # noqa: B006  never changed
) -> Response:
    """Lists rows with titles; an item is in one row only. The rows are: picked for the user, similar to liked items,
    the best of categories, popular in the country, trending, new, something different. A row with fewer than three
    items is left out.
    """
    service = service_of(request)
    query = ListQuery(user_id, ListOptions(limit=limit, placement=placement))
    selection = ItemSelection.parse(fields)
    request_state = await service.request_states.read(user_id)
    home = await service.home_page.home(n_rows, query, request_state)
    return await as_response(home, selection, service.store.reads, request_state)


@router.get(
    "/mixes",
    summary="Get a user's mixes",
    responses=responses(422, 503, also={200: {"model": Mixes}}),
    openapi_extra=needs("recommendations:read", browser=True),
)
async def get_mixes(
    request: Request,
    user_id: Id,
    n_mixes: Annotated[int, Query(ge=1, le=20, description="Maximum number of mixes")] = 6,
    limit: Limit = 20,
    placement: PlacementName = DEFAULT_PLACEMENT,
    fields: Annotated[SelectedUnexplained, Query()] = [],  # noqa: B006  never changed
) -> Response:
    """Lists mixes: each holds items near to one group of items that the user liked, and is named after one or two
    categories of the group. Every item has at least one of these; `category_share` is the share of items that have all.
    Where no category describes the group, the mix has the title of its most typical item and no `categories`. Where the
    snapshot has no vectors to compare items by, each mix is about one liked item and has its title. An item is in one
    mix only. There are fewer mixes if the liked items form fewer groups. A user who has liked nothing gets popular
    categories.
    """
    service = service_of(request)
    query = ListQuery(user_id, ListOptions(limit=limit, placement=placement))
    selection = ItemSelection.parse(fields)
    request_state = await service.request_states.read(user_id)
    mixes = await service.mixer.mixes(n_mixes, query, request_state)
    return await as_response(mixes, selection, service.store.reads, request_state)


@router.get(
    "/similar",
    summary="List users with a similar taste",
    responses=responses(404, 422, 503, also={200: {"model": SimilarUsers}}),
    openapi_extra=needs("recommendations:read"),
)
async def get_similar_users(
    request: Request, user_id: Id, limit: Annotated[int, Query(ge=1, le=100, description="Number of users")] = 20
) -> Response:
    """Lists users of the snapshot, the most similar first. Takes every acknowledged rating of this user into account.

    The list is empty for a user whose taste is not known.
    """
    service = service_of(request)
    users = await service.similar_users.similar_users(user_id, limit, await service.request_states.read(user_id))
    return Response(SIMILAR_USERS.dump_json(users), media_type=JSON)
