"""Events come in, up to 1,000 at once; a user's are listed."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from pydantic import TypeAdapter, ValidationError

from app.api.problems import fault_of, responses
from app.api.schemas.body import RowOutcome
from app.api.schemas.events import EventIn, EventOut, EventsIn, EventsOut, EventsPage
from app.api.strict_route import StrictRoute
from app.api.types import Cursor, Id
from app.entities import EventType, IncomingEvents, to_microseconds
from app.errors import InvalidInputError, NotFoundError
from app.observability.metrics import Metrics
from app.serving.tokens import RecommendationToken, TokenSigner
from app.store import STORED, Store
from app.store.users import Users

MAX_AHEAD = timedelta(minutes=5) // timedelta(microseconds=1)

event_adapter: TypeAdapter[EventIn] = TypeAdapter(EventIn)


@dataclass(frozen=True, slots=True)
class Judged:
    """An event that can be stored; `at` microseconds UTC; `led_by`: the recommendation it names, verified."""

    event: EventIn
    at: int
    led_by: RecommendationToken | None


def events_router(store: Store, tokens: TokenSigner, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["events"], route_class=StrictRoute)

    @router.post("/events", summary="Say what happened", responses=responses(400, 413, 422, 503, 507))
    def post_events(batch: EventsIn) -> EventsOut:
        """Each event is judged by itself: good ones are stored, once each by id, in one transaction; bad are named.

        User and item need not exist. The next answer for the user, of any process, knows them. An event that arrives
        late counts at its own time.
        """
        types = {declared.name: declared for declared in store.events.types().values()}
        now = time.time_ns() // 1_000
        judged = [_judge(row, types, tokens, now) for row in batch.events]
        judged = _only_own(judged, store.users)
        good = [row for row in judged if isinstance(row, Judged)]
        is_stored = iter((store.events.record(_incoming(good)) == STORED).tolist() if good else [])
        results = [
            RowOutcome(index, "rejected", row)
            if isinstance(row, str)
            else RowOutcome(index, "stored" if next(is_stored) else "unchanged")
            for index, row in enumerate(judged)
        ]
        _count(metrics, judged, results)
        counts = Counter(row.status for row in results)
        return EventsOut(
            stored=counts["stored"], unchanged=counts["unchanged"], rejected=counts["rejected"], results=results
        )

    @router.get("/users/{user_id}/events", summary="A user's events", responses=responses(404, 422, 503))
    def get_events(
        user_id: Id,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
        cursor: Annotated[Cursor | None, Query(description="`next_cursor` of the page before")] = None,
    ) -> EventsPage:
        """Newest first, by the time at which they happened; pages neither repeat nor skip while others arrive."""
        listing = f"events of {user_id}"
        before = None if cursor is None else tokens.read_moment(listing, cursor)
        page = store.events.page(user_id, before=before, limit=limit + 1)
        if not page and store.users.get(user_id) is None:
            raise NotFoundError("user", user_id)
        last = page[limit - 1] if len(page) > limit else None
        return EventsPage(
            events=[EventOut.of(event) for event in page[:limit]],
            next_cursor=None if last is None else tokens.moment(listing, to_microseconds(last.at), last.event_id),
        )

    return router


def _judge(row: Any, types: Mapping[str, EventType], tokens: TokenSigner, now: int) -> Judged | str:
    """The event, or what is wrong with it; whose recommendation it names is still to be judged."""
    try:
        event = event_adapter.validate_python(row)
        at = now if event.at is None else to_microseconds(event.at)
        _check(event, at, types, now)
        named = event.recommendation_id
        return Judged(event, at, None if named is None else tokens.read_recommendation_id(named))
    except ValidationError as error:
        return fault_of(error)
    except InvalidInputError as error:
        return error.detail


def _check(event: EventIn, at: int, types: Mapping[str, EventType], now: int) -> None:
    declared = types.get(event.type)
    if declared is None:
        raise InvalidInputError(f"there is no event type {event.type!r}; declared are: {', '.join(types)}")
    if event.portion is not None and not declared.is_consumption:
        raise InvalidInputError(f"a {event.type!r} has no portion: its type is no consumption")
    if at - now > MAX_AHEAD:
        raise InvalidInputError("at is more than 5 minutes ahead of the server's clock")


def _only_own(judged: Sequence[Judged | str], users: Users) -> list[Judged | str]:
    """Rejects what names a recommendation of somebody else; of somebody who was unknown then, or is gone, anybody's."""
    keys = {row.led_by.user_key for row in judged if isinstance(row, Judged) and row.led_by is not None} - {None}
    owner = users.ids_of(sorted(key for key in keys if key is not None)) if keys else {}
    foreign = "this recommendation_id was made for another user"
    return [foreign if isinstance(row, Judged) and _is_foreign(row, owner) else row for row in judged]


def _is_foreign(row: Judged, owner: Mapping[int, str]) -> bool:
    if row.led_by is None or row.led_by.user_key is None:
        return False
    return owner.get(row.led_by.user_key, row.event.user_id) != row.event.user_id


def _incoming(judged: Sequence[Judged]) -> IncomingEvents:
    return IncomingEvents(
        event_id=[row.event.event_id for row in judged],
        type=[row.event.type for row in judged],
        user_id=[row.event.user_id for row in judged],
        item_id=[row.event.item_id for row in judged],
        at=np.array([row.at for row in judged], dtype=np.int64),
        portion=np.array([row.event.portion for row in judged], dtype=np.float64),  # None becomes NaN
        placement=[None if row.led_by is None else row.led_by.placement for row in judged],
        snapshot_version=[None if row.led_by is None else row.led_by.snapshot_version for row in judged],
    )


def _count(metrics: Metrics, judged: Sequence[Judged | str], results: Sequence[RowOutcome]) -> None:
    outcomes = Counter(
        ("" if isinstance(row, str) else row.event.type, result.status)
        for row, result in zip(judged, results, strict=True)
    )
    for (type_, status), number in outcomes.items():
        metrics.count_events(type_, status, number)
