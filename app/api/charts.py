"""Charts: popular, trending and new items, the same for every user."""

import json
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import TypeAdapter

from app.api.problems import responses
from app.api.responses import JSON
from app.api.routing import StrictRoute, service_of
from app.api.types import Category, Cursor, Name
from app.serving.charts import Chart, ChartQuery
from app.serving.expressions import parse_filter
from app.serving.parts import Expression
from app.serving.rows import NO_ROWS

# The handlers serialise answers themselves: FastAPI would validate each answer again, which doubles the cost.
CHART: TypeAdapter[Chart] = TypeAdapter(Chart)

router = APIRouter(tags=["charts"], route_class=StrictRoute)


@router.get(
    "/charts/{chart}",
    summary="List popular, trending or new items",
    responses=responses(404, 422, 503, also={200: {"model": Chart}}),
)
async def get_chart(
    request: Request,
    chart: Annotated[str, Path(max_length=100, description="`popular`, `trending` or `newest`")],
    limit: Annotated[int, Query(ge=1, le=100, description="Number of items")] = 20,
    cursor: Annotated[Cursor | None, Query(description="`next_cursor` of the previous page")] = None,
    category: Annotated[Category | None, Query(description="Only items of this category")] = None,
    country: Annotated[
        Name | None, Query(description="Counts only users of this country; `newest` is the same in every country")
    ] = None,
    filter: Annotated[  # noqa: A002  the parameter's name
        Expression | None, Query(description="Only items for which this expression is true")
    ] = None,
) -> Response:
    """Lists available items. Pages neither repeat nor skip an item, even if the chart changes in between.

    `popular` counts ratings as of the snapshot. `trending` counts ratings and positive events with a half-life of three
    days. `newest` sorts by `added_at`. An unknown category or country has no items.
    """
    service = service_of(request)
    # A cursor belongs to one chart with its options. Used with others, it could skip items, so it is refused.
    sequence = f"/charts/{json.dumps([chart, category, country, filter])}"
    query = ChartQuery(
        sequence=sequence,
        limit=limit,
        category=category,
        country=country,
        filter=None if filter is None else parse_filter(filter),
        returned_keys=NO_ROWS if cursor is None else service.tokens.read_cursor(sequence, cursor),
    )
    # A chart is the same for every user, so the state is that of no user in particular.
    request_state = await service.request_states.read("")
    page = await service.charts.chart(chart, query, request_state)
    return Response(CHART.dump_json(page), media_type=JSON)
