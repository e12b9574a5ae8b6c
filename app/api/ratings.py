"""Ratings: stored singly or up to 1,000 at once, listed and deleted."""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.api.schemas.body import read_rows
from app.api.schemas.ratings import RatingIn, RatingOut, RatingsIn, RatingsOut, RatingsPage
from app.api.types import Cursor, Id
from app.errors import NotFoundError

router = APIRouter(tags=["ratings"], route_class=StrictRoute)


@router.post(
    "/ratings",
    summary="Rate an item",
    status_code=201,
    responses=responses(400, 413, 422, 503, 507, also={200: {"model": RatingOut}}),
)
async def post_rating(request: Request, rating: RatingIn, response: Response) -> RatingOut:
    """Stores or replaces a rating: the newest `rated_at` wins, a repeated request changes nothing. Answers what is
    stored now.

    201 if the rating is new; 200 if it replaced another, or if a newer one is stored. User and item need not exist. The
    next `GET /users/{user_id}/recommendations`, from any process, takes the rating into account.
    """
    service = service_of(request)
    stored = await service.rating_recorder.record(rating.to_entity(), "body")
    service.metrics.count_ratings(stored.status)
    response.status_code = 201 if stored.status == "stored" else 200
    return RatingOut.from_rating(stored)


@router.post("/ratings/batch", summary="Rate up to 1,000 items", responses=responses(400, 413, 422, 503, 507))
async def post_ratings(request: Request, batch: RatingsIn) -> RatingsOut:
    """Checks each rating separately, stores the valid ones in order in one transaction, and reports the others."""
    service = service_of(request)
    outcomes = await service.rating_recorder.record_batch(read_rows(batch.ratings, RatingIn, RatingIn.to_entity))
    # One increment for each status instead of one for each row.
    for status, number in Counter(outcome.status for outcome in outcomes).items():
        service.metrics.count_ratings(status, number)
    return RatingsOut.from_outcomes(outcomes)


@router.get("/users/{user_id}/ratings", summary="List a user's ratings", responses=responses(404, 422, 503))
def get_ratings(
    request: Request,
    user_id: Id,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[Cursor | None, Query(description="`next_cursor` of the previous page")] = None,
) -> RatingsPage:
    """Sorted by when the item was first stored, oldest first."""
    service = service_of(request)
    listing = f"ratings of {user_id}"
    after = 0 if cursor is None else service.tokens.read_position(listing, cursor)
    page = service.store.ratings.page(user_id, after=after, limit=limit + 1)
    # Only an empty page needs the second read: a user with ratings exists.
    if not page and service.store.users.get(user_id) is None:
        raise NotFoundError("user", user_id)
    more = len(page) > limit
    return RatingsPage(
        ratings=[RatingOut.from_rating(rating) for _, rating in page[:limit]],
        next_cursor=service.tokens.position(listing, page[limit - 1][0]) if more else None,
    )


@router.delete(
    "/users/{user_id}/ratings/{item_id}", summary="Delete a rating", status_code=204, responses=responses(422, 503)
)
def delete_rating(request: Request, user_id: Id, item_id: Id) -> None:
    """204 also if there is no such rating. Repeating the request that stored the rating does not restore it."""
    service_of(request).rating_recorder.remove(user_id, item_id)
