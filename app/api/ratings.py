"""Ratings come in, one by one or up to 1,000 at once; a user's are listed and deleted."""

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import TypeAdapter, ValidationError

from app.api.problems import fault_of, responses
from app.api.schemas.body import Outcome, RowOutcome
from app.api.schemas.ratings import RatingIn, RatingOut, RatingsIn, RatingsOut, RatingsPage
from app.api.strict_route import StrictRoute
from app.api.types import Cursor, Id
from app.entities import UNKNOWN_TIME, IncomingRatings, RatingScale, from_microseconds, to_microseconds
from app.errors import InvalidInputError, NotFoundError
from app.observability.metrics import Metrics
from app.serving.tokens import TokenSigner
from app.store import REPLACED, STORED, UNCHANGED, Recorded, Store

MAX_AHEAD = timedelta(minutes=5)
STATUS_NAMES: dict[int, Outcome] = {STORED: "stored", REPLACED: "replaced", UNCHANGED: "unchanged"}

rating_adapter: TypeAdapter[RatingIn] = TypeAdapter(RatingIn)


def ratings_router(store: Store, tokens: TokenSigner, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["ratings"], route_class=StrictRoute)

    @router.post(
        "/ratings",
        summary="Rate an item",
        status_code=201,
        responses=responses(400, 413, 422, 503, 507, also={200: {"model": RatingOut}}),
    )
    async def post_rating(rating: RatingIn, response: Response) -> RatingOut:
        """An upsert: the newest `rated_at` wins, a replay changes nothing. The answer is what is stored.

        201 when the rating is new; 200 when it replaced one, or when something newer is stored. User and item need not
        exist. The next `GET /users/{user_id}/recommendations`, of any process, knows it.
        """
        now = _now()
        _check(rating, await store.reads.scale(), now)
        recorded = await store.group_commit.record(_incoming([rating]), untimed_at=now)
        status = int(recorded.status[0])
        metrics.count_ratings(STATUS_NAMES[status])
        response.status_code = 201 if status == STORED else 200
        return _stored(rating, recorded, 0)

    @router.post("/ratings/batch", summary="Rate up to 1,000 items", responses=responses(400, 413, 422, 503, 507))
    async def post_ratings(batch: RatingsIn) -> RatingsOut:
        """Each row is judged by itself: good ones are stored, in order, in one transaction; bad ones are named."""
        now = _now()
        scale = await store.reads.scale()
        judged = [_judge(row, scale, now) for row in batch.ratings]
        good = [rating for rating in judged if isinstance(rating, RatingIn)]
        recorded = await store.group_commit.record(_incoming(good), untimed_at=now) if good else None
        statuses = iter([] if recorded is None else recorded.status.tolist())
        results = [
            RowOutcome(index, "rejected", row)
            if isinstance(row, str)
            else RowOutcome(index, STATUS_NAMES[next(statuses)])
            for index, row in enumerate(judged)
        ]
        counts = {name: sum(row.status == name for row in results) for name in (*STATUS_NAMES.values(), "rejected")}
        for name, count in counts.items():
            metrics.count_ratings(name, count)
        return RatingsOut(**counts, results=results)

    @router.get("/users/{user_id}/ratings", summary="A user's ratings", responses=responses(404, 422, 503))
    def get_ratings(
        user_id: Id,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
        cursor: Annotated[Cursor | None, Query(description="`next_cursor` of the page before")] = None,
    ) -> RatingsPage:
        """In the order in which the items became known."""
        after = 0 if cursor is None else tokens.read_position(f"ratings of {user_id}", cursor)
        page = store.ratings.page(user_id, after=after, limit=limit + 1)
        if not page and store.users.get(user_id) is None:
            raise NotFoundError("user", user_id)
        more = len(page) > limit
        return RatingsPage(
            ratings=[RatingOut.of(rating) for _, rating in page[:limit]],
            next_cursor=tokens.position(f"ratings of {user_id}", page[limit - 1][0]) if more else None,
        )

    @router.delete(
        "/users/{user_id}/ratings/{item_id}",
        summary="Take a rating back",
        status_code=204,
        responses=responses(422, 503),
    )
    def delete_rating(user_id: Id, item_id: Id) -> None:
        """204 also when there is none. A replay of the deleted rating does not bring it back."""
        store.ratings.remove(user_id, item_id, at=_now())

    return router


def _now() -> int:
    return time.time_ns() // 1_000


def _check(rating: RatingIn, scale: RatingScale, now: int) -> None:
    scale.check(float(rating.value), "body.value")
    if rating.rated_at is not None and to_microseconds(rating.rated_at) - now > MAX_AHEAD // timedelta(microseconds=1):
        raise InvalidInputError("rated_at is more than 5 minutes ahead of the server's clock", field="body.rated_at")


def _judge(row: Any, scale: RatingScale, now: int) -> RatingIn | str:
    """The rating, or what is wrong with it."""
    try:
        rating = rating_adapter.validate_python(row)
        _check(rating, scale, now)
    except ValidationError as error:
        return fault_of(error)
    except InvalidInputError as error:
        return error.detail
    return rating


def _incoming(ratings: Sequence[RatingIn]) -> IncomingRatings:
    times = [UNKNOWN_TIME if each.rated_at is None else to_microseconds(each.rated_at) for each in ratings]
    return IncomingRatings(
        [rating.user_id for rating in ratings],
        [rating.item_id for rating in ratings],
        np.array([rating.value for rating in ratings], dtype=np.float64),
        np.array(times, dtype=np.int64),
    )


def _stored(rating: RatingIn, recorded: Recorded, row: int) -> RatingOut:
    value, rated_at = float(recorded.value[row]), int(recorded.rated_at[row])
    return RatingOut(
        user_id=rating.user_id,
        item_id=rating.item_id,
        value=None if np.isnan(value) else value,
        rated_at=None if rated_at == UNKNOWN_TIME else from_microseconds(rated_at),
    )
