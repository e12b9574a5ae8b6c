"""What is popular, trending or new."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ..call import Call, Iteration, Request, operation

ChartName = Literal["popular", "trending", "newest"]


@dataclass(frozen=True, slots=True)
class ChartItem:
    """`rank`: counts from 1, on through the pages.

    Of `popular`, `ratings`: how many; of `trending`, `heat`: ratings and positive events, of which half is forgotten
    every three days; of `newest`, `added_at`, None also where it is not known.
    """

    item_id: str
    title: str | None
    rank: int
    ratings: int | None = None
    heat: float | None = None
    added_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    chart: str
    snapshot_version: int | None
    items: tuple[ChartItem, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[ChartItem]:
        return iter(self.items)


class ChartOperations:
    @operation("GET", "/charts/{chart}")
    def chart(
        self,
        chart: ChartName,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        category: str | None = None,
        country: str | None = None,
        filter: str | None = None,  # noqa: A002  the service's own name
    ) -> Request[Chart]:
        """Available items, about nobody in particular. `country`: as the users have it."""
        query = {"limit": limit, "cursor": cursor, "category": category, "country": country, "filter": filter}
        return Request(Chart, path={"chart": chart}, query=query)

    @Iteration
    def iter_chart(
        self,
        chart: ChartName,
        *,
        page_size: int = 100,
        category: str | None = None,
        country: str | None = None,
        filter: str | None = None,  # noqa: A002
    ) -> Call[Chart]:
        """One item after the other, none twice."""
        return ChartOperations.chart.call(chart, limit=page_size, category=category, country=country, filter=filter)
