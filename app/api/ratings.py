"""Ratings: stored singly or up to 1,000 at once, listed and deleted."""

from asyncio import sleep
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api.access import caller_of, needs
from app.api.idempotency import acts_once, keeping
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.api.schemas.ratings import RatingOut, RatingsOut, RatingsPage
from app.auth.errors import UserTokenError
from app.entities import Rating
from app.errors import NotFoundError
from app.intake.received import RatingIn, RatingsIn
from app.intake.recording import RowOutcome, StoredRating
from app.intake.rows import read_rows
from app.intake.value_types import Cursor, Id
from app.wiring import Service

router = APIRouter(tags=["ratings"], route_class=StrictRoute)


@router.post(
    "/ratings",
    summary="Rate an item",
    status_code=201,
    responses=responses(400, 413, 422, 503, 507, also={200: {"model": RatingOut}}),
    openapi_extra=needs("ratings:write", browser=True),
)
@acts_once
async def post_rating(request: Request, rating: RatingIn, response: Response) -> RatingOut:
    """Stores or replaces a rating: the newest `rated_at` wins, a repeated request changes nothing. Answers what is
    stored now.

    201 if the rating is new; 200 if it replaced another, or if a newer one is stored. The user need not exist, nor the
    item, unless the service refuses unknown ones (`RECKON_UNKNOWN_ITEMS=reject`). The next
    `GET /users/{user_id}/recommendations`, from any process, takes the rating into account.
    """
    service = service_of(request)
    if caller_of(request).user_id is not None:
        await run_in_threadpool(_refuse_merged, request)
    stored = await service.rating_recorder.record(rating.to_entity(), "body", keeping(request, _answer))
    service.metrics.count_ratings(stored.status)
    response.status_code, answer = _answer(stored)
    return answer


@router.post(
    "/ratings/batch",
    summary="Rate up to 1,000 items",
    responses=responses(400, 413, 422, 503, 507),
    openapi_extra=needs("ratings:write"),
)
@acts_once
async def post_ratings(request: Request, batch: RatingsIn) -> RatingsOut:
    """Checks each rating separately, stores the valid ones in order in one transaction, and reports the others."""
    service = service_of(request)
    rows = read_rows(batch.ratings, RatingIn, RatingIn.to_entity)
    await sleep(0)  # to read 1,000 rows and to record them takes some milliseconds each
    outcomes = await service.rating_recorder.record_batch(rows, keeping(request, _batch_answer))
    # One increment for each status instead of one for each row.
    for status, number in Counter(outcome.status for outcome in outcomes).items():
        service.metrics.count_ratings(status, number)
    return _batch_answer(outcomes)[1]


@router.get(
    "/users/{user_id}/ratings",
    summary="List a user's ratings",
    responses=responses(404, 422, 503),
    openapi_extra=needs("ratings:write", "console"),
)
def get_ratings(
    request: Request,
    user_id: Id,
    sort: Annotated[
        Literal["item", "time"],
        Query(
            description="`item`: by when the item was first stored, oldest first. `time`: by `rated_at`, newest first"
        ),
    ] = "item",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cursor: Annotated[
        Cursor | None, Query(description="`next_cursor` of the previous page, of the same `sort`")
    ] = None,
) -> RatingsPage:
    """By time, ratings without a known time come last. Pages neither repeat nor skip a rating that stays as it is."""
    service = service_of(request)
    read = _page_by_item if sort == "item" else _page_by_time
    page, next_cursor = read(service, user_id, cursor, limit)
    # Only an empty page needs the second read: a user with ratings exists.
    if not page and service.store.users.get(user_id) is None:
        raise NotFoundError("user", user_id)
    return RatingsPage(ratings=[RatingOut.from_rating(rating) for rating in page], next_cursor=next_cursor)


def _answer(stored: StoredRating) -> tuple[int, RatingOut]:
    return 201 if stored.status == "stored" else 200, RatingOut.from_rating(stored)


def _batch_answer(outcomes: Sequence[RowOutcome]) -> tuple[int, RatingsOut]:
    return 200, RatingsOut.from_outcomes(outcomes)


def _page_by_item(service: Service, user_id: str, cursor: str | None, limit: int) -> tuple[list[Rating], str | None]:
    """Up to `limit` ratings, and the cursor of the next page."""
    listing, tokens = f"ratings of {user_id}", service.tokens
    after = 0 if cursor is None else tokens.read_position(listing, cursor)
    # One more than requested tells whether there is another page.
    page = service.store.ratings.page(user_id, after=after, limit=limit + 1)
    next_cursor = tokens.position(listing, page[limit - 1][0]) if len(page) > limit else None
    return [rating for _, rating in page[:limit]], next_cursor


def _page_by_time(service: Service, user_id: str, cursor: str | None, limit: int) -> tuple[list[Rating], str | None]:
    """As `_page_by_item`."""
    listing, tokens = f"ratings of {user_id} by time", service.tokens
    before = None
    if cursor is not None:
        at, item_key = tokens.read_moment(listing, cursor)
        before = at, int(item_key)
    page = service.store.ratings.newest_page(user_id, before=before, limit=limit + 1)
    next_cursor = None
    if len(page) > limit:
        last_at, last_key = page[limit - 1][0]
        next_cursor = tokens.moment(listing, last_at, str(last_key))
    return [rating for _, rating in page[:limit]], next_cursor


@router.delete(
    "/users/{user_id}/ratings/{item_id}",
    summary="Delete a rating",
    status_code=204,
    responses=responses(422, 503),
    openapi_extra=needs("ratings:write", browser=True),
)
def delete_rating(request: Request, user_id: Id, item_id: Id) -> None:
    """204 also if there is no such rating. Repeating the request that stored the rating does not restore it."""
    _refuse_merged(request)
    service_of(request).rating_recorder.remove(user_id, item_id)


def _refuse_merged(request: Request) -> None:
    """Raises `UserTokenError` for the token of a guest who was merged into a user: the ratings would be the user's."""
    user_id = caller_of(request).user_id
    if user_id is not None and service_of(request).store.users.is_merged(user_id):
        raise UserTokenError
