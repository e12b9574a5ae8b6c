"""What is popular, trending or new."""

import json
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import TypeAdapter

from app.api.problems import responses
from app.api.responses import JSON
from app.api.strict_route import StrictRoute
from app.api.types import Category, Cursor, Name
from app.serving.charts import Chart, ChartQuery, ChartReader
from app.serving.expressions import parse_filter
from app.serving.placement import Expression
from app.serving.request_state import RequestStates
from app.serving.rows import NO_ROWS
from app.serving.tokens import TokenSigner
from app.store.trends import Trends

CHART: TypeAdapter[Chart] = TypeAdapter(Chart)


def charts_router(trends: Trends, request_states: RequestStates, tokens: TokenSigner) -> APIRouter:
    router = APIRouter(tags=["charts"], route_class=StrictRoute)
    charts = ChartReader(trends, tokens)

    @router.get(
        "/charts/{chart}",
        summary="What is popular, trending or new",
        responses=responses(404, 422, 503, also={200: {"model": Chart}}),
    )
    async def get_chart(
        chart: Annotated[str, Path(max_length=100, description="`popular`, `trending` or `newest`")],
        limit: Annotated[int, Query(ge=1, le=100, description="How many items")] = 20,
        cursor: Annotated[Cursor | None, Query(description="`next_cursor` of the page before")] = None,
        category: Annotated[Category | None, Query(description="Only items of this category")] = None,
        country: Annotated[
            Name | None, Query(description="As its users have it; what is new is new in every country")
        ] = None,
        filter: Annotated[  # noqa: A002  the parameter's name
            Expression | None, Query(description="Only items for which this holds")
        ] = None,
    ) -> Response:
        """Available items, about nobody in particular. Pages neither repeat nor skip an item, whatever happens.

        `popular` counts ratings as of the snapshot; `trending`, ratings and positive events, of which half is forgotten
        every three days; `newest` goes by `added_at`. A category or country that nobody has heard of has no items.
        """
        sequence = f"/charts/{json.dumps([chart, category, country, filter])}"
        query = ChartQuery(
            sequence=sequence,
            limit=limit,
            category=category,
            country=country,
            filter=None if filter is None else parse_filter(filter),
            returned_keys=NO_ROWS if cursor is None else tokens.read_cursor(sequence, cursor),
        )
        request_state = await request_states.read("")
        return Response(CHART.dump_json(await charts.chart(chart, query, request_state.serving)), media_type=JSON)

    return router
