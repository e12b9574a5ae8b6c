"""A user's home page, mixes and neighbours."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter

from app.api.problems import responses
from app.api.responses import JSON
from app.api.strict_route import StrictRoute
from app.api.types import Id, Name
from app.serving import query as asked
from app.serving.home import Home, HomePage
from app.serving.mixes import Mixer, Mixes
from app.serving.query import DEFAULT_PLACEMENT, ListOptions
from app.serving.recommend import Recommender
from app.serving.request_state import RequestStates
from app.serving.similar_users import SimilarUserFinder, SimilarUsers
from app.serving.user_state import UserStates
from app.store.users import Users

HOME: TypeAdapter[Home] = TypeAdapter(Home)
MIXES: TypeAdapter[Mixes] = TypeAdapter(Mixes)
SIMILAR_USERS: TypeAdapter[SimilarUsers] = TypeAdapter(SimilarUsers)

Limit = Annotated[int, Query(ge=1, le=100, description="How many items in each, at most")]
PlacementName = Annotated[Name, Query(max_length=100, description="Whose rules hold")]


def discovery_router(
    recommender: Recommender, user_states: UserStates, request_states: RequestStates, users: Users
) -> APIRouter:
    router = APIRouter(prefix="/users/{user_id}", tags=["recommendations"], route_class=StrictRoute)
    home_page, mixer, neighbourhood = HomePage(recommender), Mixer(recommender), SimilarUserFinder(user_states, users)

    @router.get("/home", summary="A user's home page", responses=responses(422, 503, also={200: {"model": Home}}))
    async def get_home(
        user_id: Id,
        n_rows: Annotated[int, Query(ge=1, le=20, description="How many rows, at most")] = 8,
        limit: Limit = 20,
        placement: PlacementName = DEFAULT_PLACEMENT,
    ) -> Response:
        """Titled rows, no item in two of them: picked for the user, like what was liked, the best of categories,
        popular in the country, trending, new, something different. A row with fewer than three items is left out.
        """
        query = asked.Query(user_id, ListOptions(limit=limit, placement=placement))
        home = await home_page.home(n_rows, query, await request_states.read(user_id))
        return Response(HOME.dump_json(home), media_type=JSON)

    @router.get(
        "/mixes", summary="A user's taste in parts", responses=responses(422, 503, also={200: {"model": Mixes}})
    )
    async def get_mixes(
        user_id: Id,
        n_mixes: Annotated[int, Query(ge=1, le=20, description="How many, at most")] = 6,
        limit: Limit = 20,
        placement: PlacementName = DEFAULT_PLACEMENT,
    ) -> Response:
        """Coherent lists, each of what is near to a part of what the user liked, named after its categories; no item is
        in two. Fewer where the taste has fewer parts; popular categories for somebody who has liked nothing.
        """
        query = asked.Query(user_id, ListOptions(limit=limit, placement=placement))
        mixes = await mixer.mixes(n_mixes, query, await request_states.read(user_id))
        return Response(MIXES.dump_json(mixes), media_type=JSON)

    @router.get(
        "/similar",
        summary="Users with a similar taste",
        responses=responses(404, 422, 503, also={200: {"model": SimilarUsers}}),
    )
    async def get_similar_users(
        user_id: Id, limit: Annotated[int, Query(ge=1, le=100, description="How many users")] = 20
    ) -> Response:
        """Those known at the snapshot, the most similar first; knows every rating of this user acknowledged before.

        None for somebody of whom nothing is known that says what they like.
        """
        found = await neighbourhood.similar_users(user_id, limit, await request_states.read(user_id))
        return Response(SIMILAR_USERS.dump_json(found), media_type=JSON)

    return router
