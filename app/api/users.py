"""Users, by the caller's ids."""

from fastapi import APIRouter, Response

from app.api.problems import responses
from app.api.schemas.users import MergeOut, UserIn, UserOut
from app.api.strict_route import StrictRoute
from app.api.types import Id
from app.entities import User
from app.errors import InvalidInputError, NotFoundError
from app.store import STORED
from app.store.users import Users


def users_router(users: Users) -> APIRouter:
    router = APIRouter(prefix="/users", tags=["users"], route_class=StrictRoute)

    @router.get("/{user_id}", summary="A user", responses=responses(404, 422, 503))
    def get_user(user_id: Id) -> UserOut:
        user = users.get(user_id)
        if user is None:
            raise NotFoundError("user", user_id)
        return UserOut.of(user)

    @router.put(
        "/{user_id}",
        summary="Make or replace a user",
        responses=responses(400, 413, 422, 503, 507, also={201: {"model": UserOut}}),
    )
    def put_user(user_id: Id, body: UserIn, response: Response) -> UserOut:
        """Replaces the whole: what is left out becomes empty. 201 when new. Ratings are not touched."""
        user = body.to_entity(user_id)
        (status,) = users.record([user])
        response.status_code = 201 if status == STORED else 200
        return UserOut.of(user)

    @router.delete(
        "/{user_id}", summary="Delete a user with ratings and events", status_code=204, responses=responses(422, 503)
    )
    def delete_user(user_id: Id) -> None:
        """204 also when there is none."""
        users.delete(user_id)

    @router.post(
        "/{user_id}/merge/{guest_id}",
        summary="A guest becomes a user",
        responses=responses(404, 422, 503, 507),
    )
    def merge_guest(user_id: Id, guest_id: Id) -> MergeOut:
        """All that is known of the guest becomes the user's, and the guest is gone. The user need not exist.

        Of what both rated the newer rating counts; events add up; country and attributes fill in what the user lacks;
        items that the guest made (`created_by`) are the user's. 404 where there is no such guest, as for a merge
        that is asked for again.
        """
        if user_id == guest_id:
            raise InvalidInputError("a user cannot be merged with itself", field="path.guest_id")
        merged = users.merge(user_id, guest_id)
        user = users.get(user_id) or User(user_id)  # somebody may have deleted it since
        return MergeOut(user=UserOut.of(user), ratings=merged.n_ratings, events=merged.n_events)

    return router
