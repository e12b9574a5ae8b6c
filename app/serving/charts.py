"""Charts: what is popular, trending or new, the same for every user."""

from asyncio import to_thread
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.entities import UNKNOWN_TIME, User, from_microseconds
from app.errors import ReckonError
from app.serving.candidates import Eligible
from app.serving.expressions import Filter
from app.serving.query import Degraded
from app.serving.recommend import category_notes
from app.serving.request_state import RequestState
from app.serving.rows import NO_ROWS, Rows
from app.serving.serving_state import ServingState
from app.serving.tokens import LAST_PAGE, TokenSigner
from app.store.trends import ALL_COUNTRIES, HALF_LIFE, LANDMARK, Trends


@dataclass(slots=True)
class ChartItem:
    """`rank`: from 1, continued on the next page."""

    item_id: str
    title: str | None
    rank: int


@dataclass(slots=True)
class PopularItem(ChartItem):
    """`likes`: how many users liked it as of the snapshot, by a rating or by events, in the country where one is given.
    `ratings`: how many rated it or have positive events of it, likewise.
    """

    ratings: int
    likes: int


@dataclass(slots=True)
class TrendingItem(ChartItem):
    """`heat`: the sum of the weights of its liked ratings and positive events, which halve every three days."""

    heat: float


@dataclass(slots=True)
class NewItem(ChartItem):
    """`added_at`: null where it is not known; such items come last."""

    added_at: datetime | None


AnyItem = PopularItem | TrendingItem | NewItem


@dataclass(slots=True)
class Chart:
    """`next_cursor`, `limit_reached`, `notes`: as in `Recommendations`."""

    chart: str
    snapshot_version: int | None
    items: list[AnyItem]
    next_cursor: str | None
    limit_reached: bool = False
    notes: list[str] = field(default_factory=list)
    degraded: Degraded = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartQuery:
    """`listing`: the question as text, for cursors. `returned_keys`: item keys that earlier pages held."""

    listing: str
    limit: int = 20
    categories: tuple[str, ...] = ()
    country: str | None = None
    filter: Filter | None = None
    returned_keys: Rows = field(default_factory=lambda: NO_ROWS)


class Order(NamedTuple):
    """Rows (n,), best first, and what is shown of each: (n, 2) choices and likes, or (n,) heat or time of addition."""

    rows: Rows
    counted: NDArray[np.integer] | NDArray[np.float64]

    def first(self, n: int) -> "Order":
        return Order(self.rows[:n], self.counted[:n])


CHARTS = ("popular", "trending", "newest")


class UnknownChartError(ReckonError):
    type = "unknown-chart"
    title = "There is no such chart"
    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no chart {name!r}; there are: {', '.join(CHARTS)}", field="chart")


class ChartReader:
    """A chart orders the available items. The order is read only as far as it takes to fill a page."""

    def __init__(self, trends: Trends, tokens: TokenSigner) -> None:
        self._trends = trends
        self._tokens = tokens
        self._orders: Mapping[str, Callable[[int, Eligible, ChartQuery, RequestState], Order]] = {
            "popular": popular,
            "trending": self._trending,
            "newest": newest,
        }

    async def chart(self, name: str, query: ChartQuery, request_state: RequestState) -> Chart:
        """One page; what rises above the pages already returned comes on the next. Raises `UnknownChartError`."""
        if name not in self._orders:
            raise UnknownChartError(name)
        serving = request_state.serving
        order, notes = await to_thread(self._order_and_notes, name, query, request_state)
        shown = order.first(query.limit)
        paging = LAST_PAGE
        if len(order.rows) > query.limit:
            # A cursor names the items returned, not a place: the order changes between pages, and no item may repeat.
            keys = serving.catalogue.keys[shown.rows]
            paging = self._tokens.paging(query.listing, query.returned_keys, keys, query.limit)
        items = items_of(name, shown, len(query.returned_keys) + 1, serving)
        if name == "trending" and request_state.is_degraded and query.country is not None:
            notes.append("trends by country are not known now; these are the trends of all countries")
        if query.country is not None and not items and not len(query.returned_keys):
            notes.append(f"no eligible item is {name} in the country {query.country!r}")
        return Chart(name, serving.version, items, *paging, notes)

    def _order_and_notes(self, name: str, query: ChartQuery, request_state: RequestState) -> tuple[Order, list[str]]:
        # One more than is shown, to know whether there is a next page.
        order = self._orders[name](query.limit + 1, eligible(query, request_state), query, request_state)
        return order, category_notes(query.categories, request_state.serving.catalogue)

    def _trending(self, n: int, eligible: Eligible, query: ChartQuery, request_state: RequestState) -> Order:
        n_read = 4 * n
        while True:  # until enough of them are eligible
            rows, heat = self._trends_of(query.country or ALL_COUNTRIES, n_read, request_state)
            is_shown = eligible.has(rows)
            if np.count_nonzero(is_shown) >= n or len(rows) < n_read:
                break
            n_read *= 8
        # heat = 2^(stored - now), both in half-lives since the landmark: the store never rewrites what decays
        now = (request_state.now - LANDMARK) / HALF_LIFE
        return Order(rows[is_shown], np.exp2(heat[is_shown] - now)).first(n)

    def _trends_of(self, country: str, n: int, request_state: RequestState) -> tuple[Rows, NDArray[np.float64]]:
        """Rows (m,) and trend scores (m,), highest first: the top n, or all; of all countries in a degraded state."""
        serving = request_state.serving
        if request_state.is_degraded:
            return serving.trending_rows[:n], serving.trend_scores[:n]
        keys, scores = self._trends.top_trending(country, n)
        return serving.catalogue.rows_of_keys(keys), scores


def eligible(query: ChartQuery, request_state: RequestState) -> Eligible:
    """The items that may be on this page."""
    catalogue = request_state.serving.catalogue
    eligible = Eligible(len(catalogue))
    eligible.keep(catalogue.available(request_state.now))
    if query.categories:
        eligible.keep(catalogue.in_any_category(query.categories))
    if query.filter is not None:
        eligible.keep(query.filter.mask(catalogue, now=request_state.now))
    returned = catalogue.rows_of_keys(query.returned_keys)
    eligible.drop(returned[returned >= 0])  # -1 stands for an item deleted since
    return eligible


def popular(n: int, eligible: Eligible, query: ChartQuery, request_state: RequestState) -> Order:
    """Liked most, as of the snapshot, or as counted now before there is one. By country only of a snapshot."""
    serving = request_state.serving
    if query.country is not None:
        return _popular_in(query.country, eligible, serving).first(n)
    rows, arrays = eligible.first(n, serving.popular_rows), serving.scorer.arrays
    likes = arrays.like_counts[rows]
    # Items without likes come last among the popular rows, and are not popular.
    return Order(rows, np.column_stack([arrays.item_counts[rows], likes])).first(int(np.count_nonzero(likes)))


def _popular_in(country: str, eligible: Eligible, serving: ServingState) -> Order:
    groups = serving.scorer.groups
    numbers = groups.numbers_of(User("any", country))
    if not numbers:
        return Order(NO_ROWS, NO_ROWS)
    # The rows of all groups stand in one array; group g has those from starts[g] to starts[g + 1].
    of_group = slice(groups.starts[numbers[0]], groups.starts[numbers[0] + 1])
    rows = groups.rows[of_group].astype(np.int64)
    counts = np.column_stack([groups.counts[of_group], groups.like_counts[of_group]])
    is_shown = eligible.has(rows)
    return Order(rows[is_shown], counts[is_shown])


def newest(n: int, eligible: Eligible, _query: ChartQuery, request_state: RequestState) -> Order:
    """Added last; the same in every country. Bare items only where all are, see `NewestOrder`."""
    catalogue = request_state.serving.catalogue
    rows = catalogue.newest.first(n, eligible.mask)
    return Order(rows, catalogue.added_at[rows])


def items_of(name: str, shown: Order, first_rank: int, serving: ServingState) -> list[AnyItem]:
    ids, titles = serving.catalogue.item_ids, serving.catalogue.titles
    places = enumerate(zip(shown.rows.tolist(), shown.counted.tolist(), strict=True), start=first_rank)
    make = MAKE[name]
    return [make(ids[row], titles[row], rank, counted) for rank, (row, counted) in places]


def _popular_item(item_id: str, title: str | None, rank: int, counted: Sequence[int]) -> PopularItem:
    n_choices, n_likes = counted
    return PopularItem(item_id, title, rank, ratings=n_choices, likes=n_likes)


def _newest_item(item_id: str, title: str | None, rank: int, added_at: int) -> NewItem:
    return NewItem(item_id, title, rank, None if added_at == UNKNOWN_TIME else from_microseconds(added_at))


def _trending_item(item_id: str, title: str | None, rank: int, heat: float) -> TrendingItem:
    return TrendingItem(item_id, title, rank, float(f"{heat:.4g}"))


MAKE: Mapping[str, Callable[..., AnyItem]] = {
    "popular": _popular_item,
    "trending": _trending_item,
    "newest": _newest_item,
}
