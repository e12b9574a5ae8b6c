"""Charts: popular, trending and new items, the same for every user."""

import json
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from app.api.access import needs
from app.api.item_fields import OF_EVERY_ANSWER, SelectedColumns
from app.api.list_parameters import SeveralCategories, SeveralFilters
from app.api.problems import responses
from app.api.responses import as_response
from app.api.routing import AnswerRoute, service_of
from app.intake.value_types import Cursor, Name
from app.serving.charts import Chart, ChartQuery, UnknownChartError
from app.serving.expressions import parse_all
from app.serving.item_details import ItemSelection
from app.serving.rows import NO_ROWS

router = APIRouter(tags=["charts"], route_class=AnswerRoute)


@router.get(
    "/charts/{chart}",
    summary="List popular, trending or new items",
    responses=responses(
        *(404, 422, 503),
        also={200: {"model": Chart}},
        errors={"`chart` is `best`": UnknownChartError("best")},
    ),
    openapi_extra=needs("recommendations:read", browser=True),
)
async def get_chart(
    request: Request,
    chart: Annotated[str, Path(max_length=100, description="`popular`, `trending` or `newest`")],
    limit: Annotated[int, Query(ge=1, le=100, description="Number of items")] = 20,
    cursor: Annotated[Cursor | None, Query(description="`next_cursor` of the previous page")] = None,
    category: Annotated[SeveralCategories, Query()] = [],  # noqa: B006  never changed
    country: Annotated[
        Name | None, Query(description="Counts only users of this country; `newest` is the same in every country")
    ] = None,
    filter: Annotated[SeveralFilters, Query()] = [],  # noqa: A002, B006  the parameter's name; never changed
    fields: Annotated[SelectedColumns, Query()] = [],  # noqa: B006  never changed
) -> Response:
    """Lists available items. Pages neither repeat nor skip an item, even if the chart changes in between.

    `popular` counts likes as of the snapshot: liked ratings and positive events. `trending` counts liked ratings and
    positive events with a half-life of three days; of each user and item the strongest of a day. What is deleted or
    no longer liked leaves it at once. `newest` sorts by `added_at`. An unknown category or country has no items;
    `notes` names the categories that are near to an unknown one.
    """
    service = service_of(request)
    # A cursor belongs to one chart with its options. Used with others, it could skip items, so it is refused.
    listing = f"/charts/{json.dumps([chart, _asked(category), country, _asked(filter)])}"
    query = ChartQuery(
        listing=listing,
        limit=limit,
        categories=tuple(category),
        country=country,
        filter=parse_all(filter),
        returned_keys=NO_ROWS if cursor is None else service.tokens.read_cursor(listing, cursor),
    )
    # A chart is the same for every user, so the state is that of no user in particular.
    request_state = await service.request_states.read("")
    page = await service.charts.chart(chart, query, request_state)
    # A cursor goes on with other fields, too: they do not change which items a page holds.
    selection = ItemSelection.parse(fields, OF_EVERY_ANSWER)
    return await as_response(page, selection, service.store.reads, request_state)


def _asked(values: list[str]) -> str | list[str] | None:
    """One value as itself and none as None, as cursors had them before a parameter could be repeated."""
    return values[0] if len(values) == 1 else values or None
