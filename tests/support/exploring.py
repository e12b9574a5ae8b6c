"""Questions for lists beside the recommendations, answered at once: as `requests.py`."""

import asyncio
from collections.abc import Sequence
from typing import Any

from app.serving.charts import Chart, ChartQuery, ChartReader
from app.serving.expressions import parse_filter
from app.serving.home import Home, HomePage
from app.serving.mixes import Mixer, Mixes
from app.serving.predictions import Pair, Prediction, RatingPredictor
from app.serving.rankings import CandidateRanker
from app.serving.rows import NO_ROWS
from app.serving.similar_users import SimilarUserFinder, SimilarUsers
from app.wiring import Service
from tests.support.requests import query_of


def ranking(service: Service, item_ids: Sequence[str], user_id: str | None = "user-0", **options: Any) -> Any:
    async def answer() -> Any:
        request_state = await service.request_states.read(user_id or "")
        return await CandidateRanker(service.recommender).rank(item_ids, query_of(user_id, **options), request_state)

    return asyncio.run(answer())


def predictions(service: Service, *pairs: tuple[str, str]) -> list[Prediction]:
    asked = [Pair(index, user_id, item_id) for index, (user_id, item_id) in enumerate(pairs)]
    _, made = asyncio.run(RatingPredictor(service.user_states, service.request_states).predict(asked))
    return made


def neighbours(service: Service, user_id: str = "user-0", limit: int = 10) -> SimilarUsers:
    async def answer() -> SimilarUsers:
        request_state = await service.request_states.read(user_id)
        return await SimilarUserFinder(service.user_states, service.store.users).similar_users(
            user_id, limit, request_state
        )

    return asyncio.run(answer())


def chart(
    service: Service, name: str, cursor: str | None = None, filter_text: str | None = None, **asked: Any
) -> Chart:
    listing = f"/charts/{name}"
    returned = NO_ROWS if cursor is None else service.tokens.read_cursor(listing, cursor)
    parsed = None if filter_text is None else parse_filter(filter_text)
    query = ChartQuery(listing=listing, filter=parsed, returned_keys=returned, **asked)

    async def answer() -> Chart:
        request_state = await service.request_states.read("")
        return await ChartReader(service.store.trends, service.tokens).chart(name, query, request_state)

    return asyncio.run(answer())


def home(service: Service, user_id: str = "user-0", n_rows: int = 8, **options: Any) -> Home:
    async def answer() -> Home:
        query = query_of(user_id, **{"limit": 6} | options)
        return await HomePage(service.recommender).home(n_rows, query, await service.request_states.read(user_id))

    return asyncio.run(answer())


def mixes(service: Service, user_id: str = "user-0", n_mixes: int = 6, **options: Any) -> Mixes:
    async def answer() -> Mixes:
        query = query_of(user_id, **{"limit": 5} | options)
        return await Mixer(service.recommender).mixes(n_mixes, query, await service.request_states.read(user_id))

    return asyncio.run(answer())


def categories_of(service: Service, item_id: str) -> set[str]:
    catalogue = service.serving.current.catalogue
    (row,) = catalogue.rows_of_ids([item_id]).tolist()
    return {catalogue.category_names[code] for code in catalogue.categories_of(row)}
