"""Users, by the caller's ids."""

from fastapi import APIRouter, Request, Response

from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.api.schemas.users import MergeOut, UserIn, UserOut
from app.api.types import Id
from app.entities import User
from app.errors import InvalidInputError, NotFoundError
from app.store import STORED

router = APIRouter(prefix="/users", tags=["users"], route_class=StrictRoute)


@router.get("/{user_id}", summary="Get a user", responses=responses(404, 422, 503))
def get_user(request: Request, user_id: Id) -> UserOut:
    user = service_of(request).store.users.get(user_id)
    if user is None:
        raise NotFoundError("user", user_id)
    return UserOut.from_user(user)


@router.put(
    "/{user_id}",
    summary="Create or replace a user",
    responses=responses(400, 413, 422, 503, 507, also={201: {"model": UserOut}}),
)
def put_user(request: Request, user_id: Id, body: UserIn, response: Response) -> UserOut:
    """Replaces the whole user: fields that are left out become empty. 201 if new. Ratings stay."""
    user = body.to_entity(user_id)
    (status,) = service_of(request).store.users.record([user])
    response.status_code = 201 if status == STORED else 200
    return UserOut.from_user(user)


@router.delete(
    "/{user_id}",
    summary="Delete a user with all ratings and events",
    status_code=204,
    responses=responses(422, 503),
)
def delete_user(request: Request, user_id: Id) -> None:
    """204 also if there is no such user."""
    service_of(request).store.users.delete(user_id)


@router.post(
    "/{user_id}/merge/{guest_id}",
    summary="Merge a guest into a user",
    responses=responses(404, 422, 503, 507),
)
def merge_guest(request: Request, user_id: Id, guest_id: Id) -> MergeOut:
    """Moves everything that is stored of the guest to the user, and deletes the guest. The user need not exist.

    If both rated an item, the newer rating counts. Events add up. Country and attributes of the guest fill in what the
    user lacks. Items that the guest created (`created_by`) become the user's. 404 if there is no such guest, also when
    a merge is repeated.
    """
    # The merge ends by deleting the guest, which would be the user.
    if user_id == guest_id:
        raise InvalidInputError("a user cannot be merged with itself", field="path.guest_id")
    users = service_of(request).store.users
    merged = users.merge(user_id, guest_id)
    # Another request may have deleted the user since.
    user = users.get(user_id) or User(user_id)
    return MergeOut(user=UserOut.from_user(user), ratings=merged.n_ratings, events=merged.n_events)
