"""Questions to the serving path, answered at once: without HTTP, on the real thing."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from app.entities import Rating
from app.serving.exclusion import ExclusionExplainer, WhyNot
from app.serving.expressions import parse_boost, parse_filter
from app.serving.parts import Context
from app.serving.placement import Placement
from app.serving.query import ExplainedItem, ListOptions, Query, Recommendations
from app.serving.recommend import restrict
from app.serving.rows import NO_ROWS
from app.wiring import Service
from tests.support.events import happened

numbers = itertools.count()

PARSERS: dict[str, Callable[[str], Any]] = {"filter": parse_filter, "boost": parse_boost}


def query_of(user_id: str | None, ratings: tuple[Rating, ...] = (), returned_keys: Any = None, **options: Any) -> Query:
    parsed: dict[str, Any] = {
        name: PARSERS[name](value) if name in PARSERS else value for name, value in options.items()
    }
    returned = NO_ROWS if returned_keys is None else returned_keys
    return Query(user_id, ListOptions(**{"limit": 100} | parsed), ratings, returned)


def ask(service: Service, query: Query) -> Any:
    async def answer() -> Any:
        request_state = await service.request_states.read(query.user_id or "")
        return await service.recommender.recommend(query, request_state)

    return asyncio.run(answer())


def recommended(service: Service, user_id: str | None = "user-0", **options: Any) -> Recommendations:
    """Up to 100 items, unless said."""
    answer: Recommendations = ask(service, query_of(user_id, **options))
    return answer


def shown_to_guest(service: Service, given: dict[str, float], limit: int = 20) -> list[ExplainedItem]:
    """The list of a guest with these ratings by item."""
    ratings = tuple(Rating("guest", item_id, value) for item_id, value in given.items())
    items: list[ExplainedItem] = ask(service, query_of(None, ratings, limit=limit, explain=True)).items
    return items


def context_of(service: Service, user_id: str | None = "user-0", **options: Any) -> Context:
    """What an answer is made from, once the restrictions have acted."""

    async def made() -> Context:
        request_state = await service.request_states.read(user_id or "")
        context = await service.recommender.context(query_of(user_id, **options), request_state)
        restrict(context)
        return context

    return asyncio.run(made())


def why_not(service: Service, item_id: str, user_id: str = "user-0", **options: Any) -> WhyNot:
    async def asked() -> WhyNot:
        request_state = await service.request_states.read(user_id)
        return await ExclusionExplainer(service.recommender).explain(
            item_id, query_of(user_id, **options), request_state
        )

    return asyncio.run(asked())


def place(service: Service, name: str = "home", **settings: Any) -> None:
    """Store a placement; the next answer follows it."""
    service.store.placements.put(name, asdict(Placement(**settings)))


def happen(
    service: Service, user_id: str, kind: str, item_ids: Sequence[str], *, at: int | None = None, times: int = 1
) -> None:
    """`times` events of the kind for each item; `at`: microseconds UTC, now unless said."""
    moment = time.time_ns() // 1_000 if at is None else at
    rows = [(f"event-{next(numbers)}", kind, user_id, item_id, moment) for item_id in item_ids for _ in range(times)]
    service.store.events.record(happened(*rows))


def ids(answer: Any) -> list[str]:
    return [item.item_id for item in answer.items]
