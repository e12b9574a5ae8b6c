"""Users, by the caller's ids."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.access import needs
from app.api.idempotency import acts_once
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.api.schemas.body import BatchOutcome, merge_patch
from app.api.schemas.users import MergeOut, UserIn, UserOut, UserPatchIn, UserRowIn, UsersIn, UsersPage
from app.entities import User
from app.errors import InvalidInputError, NotFoundError
from app.intake.catalogue import record_entries
from app.intake.rows import read_rows
from app.intake.value_types import Cursor, Id, Text
from app.store import STORED
from app.store.merging import NoGuestError

ERASURE_LOCATION = {
    "Location": {
        "description": "`/erasures/{erasure_id}`, the receipt; absent if nothing was stored of the user",
        "schema": {"type": "string"},
    }
}

router = APIRouter(prefix="/users", tags=["users"], route_class=StrictRoute)


@router.get("", summary="List the users", responses=responses(422, 503), openapi_extra=needs("console"))
def get_users(
    request: Request,
    q: Annotated[
        Text | None, Query(max_length=200, description="Part of an id; case is ignored", examples=["1"])
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[Cursor | None, Query(description="`next_cursor` of the previous page")] = None,
) -> UsersPage:
    """Sorted by when the user was first stored, oldest first."""
    service = service_of(request)
    after = 0 if cursor is None else service.tokens.read_position("users", cursor)
    page = service.store.users.page(search=q, after=after, limit=limit + 1)
    # One more than requested was read, to know whether there is another page.
    more = len(page) > limit
    return UsersPage(
        users=[UserOut.from_user(user) for _, user in page[:limit]],
        next_cursor=service.tokens.position("users", page[limit - 1][0]) if more else None,
    )


@router.get(
    "/{user_id}",
    summary="Get a user",
    responses=responses(404, 422, 503),
    openapi_extra=needs("ratings:write", "console"),
)
def get_user(request: Request, user_id: Id) -> UserOut:
    user = service_of(request).store.users.get(user_id)
    if user is None:
        raise NotFoundError("user", user_id)
    return UserOut.from_user(user)


@router.put(
    "/{user_id}",
    summary="Create or replace a user",
    responses=responses(400, 413, 422, 503, 507, also={201: {"model": UserOut}}),
    openapi_extra=needs("ratings:write"),
)
def put_user(request: Request, user_id: Id, body: UserIn, response: Response) -> UserOut:
    """Replaces the whole user: fields that are left out become empty. 201 if new. Ratings stay."""
    user = body.to_entity(user_id)
    (status,) = service_of(request).store.users.record([user])
    response.status_code = 201 if status == STORED else 200
    return UserOut.from_user(user)


@router.patch(
    "/{user_id}",
    summary="Change a user",
    responses=responses(400, 404, 413, 422, 503, 507),
    openapi_extra=merge_patch(UserPatchIn) | needs("ratings:write"),
)
def patch_user(request: Request, user_id: Id, body: UserPatchIn) -> UserOut:
    """Changes the fields that the body names and keeps the others (JSON merge patch, RFC 7396): null clears a field;
    `attributes` are merged by name, and null removes one. Answers what is stored now. 404 if there is no such user.
    """
    user = service_of(request).store.users.patch_stored(body.to_patch(user_id), field="body")
    if user is None:
        raise NotFoundError("user", user_id)
    return UserOut.from_user(user)


@router.post(
    "/batch",
    summary="Create or replace up to 1,000 users",
    responses=responses(400, 413, 422, 503, 507),
    openapi_extra=needs("ratings:write"),
)
@acts_once
def post_users(request: Request, batch: UsersIn) -> BatchOutcome:
    """Checks each user separately, stores the valid ones in order in one transaction, and reports the others.

    Each row replaces the whole user as `PUT /users/{user_id}` does: fields that are left out become empty. Of several
    rows with the same id the last one counts.
    """
    rows = read_rows(batch.users, UserRowIn, UserRowIn.to_user)
    return BatchOutcome.from_outcomes(record_entries(rows, service_of(request).store.users.record))


@router.delete(
    "/{user_id}",
    summary="Delete a user with all ratings and events",
    status_code=204,
    responses=responses(422, 503, also={204: {"headers": ERASURE_LOCATION}}),
    openapi_extra=needs("ratings:write"),
)
def delete_user(request: Request, user_id: Id, response: Response) -> None:
    """204 also if there is no such user. Every answer is that of an unknown user at once; within `RECKON_ERASURE_HOURS`
    nothing is left of the user in snapshots and files either, and the receipt says so.

    An id that comes back, also in a late rating or event, is that of a new user.
    """
    service = service_of(request)
    erasure = service.store.users.delete(user_id, within=service.erased_within)
    if erasure is not None:
        response.headers["Location"] = f"/erasures/{erasure.erasure_id}"


@router.post(
    "/{user_id}/merge/{guest_id}",
    summary="Merge a guest into a user",
    responses=responses(404, 422, 503, 507, errors={"there is no such guest": NoGuestError("no-such-user")}),
    openapi_extra=needs("ratings:write"),
)
@acts_once
def merge_guest(request: Request, user_id: Id, guest_id: Id) -> MergeOut:
    """Moves everything that is stored of the guest to the user, and deletes the guest. The user need not exist.

    If both rated an item, the newer rating counts. Events add up. Country and attributes of the guest fill in what the
    user lacks. Items that the guest created (`created_by`) become the user's. 404 if there is no such guest, also when
    a merge is repeated.

    For 90 days, ratings and events that still come under the guest's id are stored for the user, unless the guest is
    put as a user again. Reads under the guest's id are those of an unknown user: an id of a guest is no login. If the
    user is itself a guest that was merged into another user, that one gets everything, and is the `user` of the answer.
    """
    # The merge ends by deleting the guest, which would be the user.
    if user_id == guest_id:
        raise InvalidInputError("a user cannot be merged with itself", field="path.guest_id")
    users = service_of(request).store.users
    merged = users.merge(user_id, guest_id)
    # Another request may have deleted the user since.
    user = users.get(merged.user_id) or User(merged.user_id)
    return MergeOut(user=UserOut.from_user(user), ratings=merged.n_ratings, events=merged.n_events)
