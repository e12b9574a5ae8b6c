"""What a product's pages show besides recommendations: home rows, mixes, charts, similar items and users."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict, Unpack

from ..call import Call, Iteration, Request, operation
from .recommendations import RecommendedItem

ChartName = Literal["popular", "trending", "newest"]


class ChartOptions(TypedDict, total=False):
    """Which items a chart may contain."""

    category: str | None
    """Only items of this category."""
    country: str | None
    """What counts in this country, as the users have it."""
    filter: str | None
    """Only items that fulfil a condition, as in `RankingOptions`."""


@dataclass(frozen=True, slots=True)
class HomeRow:
    """A titled row of a home page.

    `row_id`: `picked`, `liked:ITEM_ID`, `category:NAME`, `country:NAME`, `popular`, `trending`, `newest` or
    `different`. It stays the same as long as the row is about the same.
    """

    row_id: str
    title: str
    items: tuple[RecommendedItem, ...]

    def __iter__(self) -> Iterator[RecommendedItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Home:
    """A home page. No item is in two rows."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    rows: tuple[HomeRow, ...]

    def __iter__(self) -> Iterator[HomeRow]:
        return iter(self.rows)


@dataclass(frozen=True, slots=True)
class Mix:
    """A list for one part of a user's taste.

    `categories`: those that the name is made of.
    `because`: ids of the liked items that are most typical of the part.
    """

    name: str
    categories: tuple[str, ...]
    because: tuple[str, ...]
    items: tuple[RecommendedItem, ...]

    def __iter__(self) -> Iterator[RecommendedItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Mixes:
    """The part with the most liked items comes first."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    mixes: tuple[Mix, ...]

    def __iter__(self) -> Iterator[Mix]:
        return iter(self.mixes)


# The service answers a class of its own for each chart. One class with three optional fields spares callers a union.
@dataclass(frozen=True, slots=True)
class ChartItem:
    """An item of a chart; each chart fills one of the last three fields.

    `rank`: from 1, continued over the pages.
    `ratings`: of `popular`, the number of ratings.
    `heat`: of `trending`, the decayed number of ratings and positive events, with a half-life of three days.
    `added_at`: of `newest`; None also where it is not known.
    """

    item_id: str
    title: str | None
    rank: int
    ratings: int | None = None
    heat: float | None = None
    added_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """A page of a chart. `snapshot_version`: None before anything is learned."""

    chart: str
    snapshot_version: int | None
    items: tuple[ChartItem, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[ChartItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class SimilarItem:
    """`similarity`: at most 1, shrunk where few users have rated the item."""

    item_id: str
    title: str | None
    similarity: float


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """Most similar first."""

    item_id: str
    snapshot_version: int | None
    items: tuple[SimilarItem, ...]

    def __iter__(self) -> Iterator[SimilarItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class SimilarUser:
    """`similarity`: at most 1, shrunk where the user has rated few items."""

    user_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class SimilarUsers:
    """Most similar first. `strategy`: what the user was known by."""

    user_id: str
    snapshot_version: int | None
    strategy: str
    users: tuple[SimilarUser, ...]

    def __iter__(self) -> Iterator[SimilarUser]:
        return iter(self.users)


class PageOperations:
    @operation("GET", "/users/{user_id}/home")
    def home(
        self, user_id: str, *, n_rows: int | None = None, limit: int | None = None, placement: str | None = None
    ) -> Request[Home]:
        """A home page for a user: up to `n_rows` titled rows of up to `limit` items."""
        query = {"n_rows": n_rows, "limit": limit, "placement": placement}
        return Request(Home, path={"user_id": user_id}, query=query)

    @operation("GET", "/users/{user_id}/mixes")
    def mixes(
        self, user_id: str, *, n_mixes: int | None = None, limit: int | None = None, placement: str | None = None
    ) -> Request[Mixes]:
        """The parts of a user's taste, each a named list of its own."""
        query = {"n_mixes": n_mixes, "limit": limit, "placement": placement}
        return Request(Mixes, path={"user_id": user_id}, query=query)

    @operation("GET", "/charts/{chart}")
    def chart(
        self,
        chart: ChartName,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        **options: Unpack[ChartOptions],
    ) -> Request[Chart]:
        """Available items that are popular, trending or new, for all users alike."""
        return Request(Chart, path={"chart": chart}, query={"limit": limit, "cursor": cursor, **options})

    @Iteration
    def iter_chart(self, chart: ChartName, *, page_size: int = 100, **options: Unpack[ChartOptions]) -> Call[Chart]:
        """One item after the other, none twice."""
        return PageOperations.chart.call(chart, limit=page_size, **options)

    @operation("GET", "/items/{item_id}/similar")
    def similar_items(self, item_id: str, *, limit: int | None = None) -> Request[SimilarItems]:
        """Items that the same users like; empty for an item that had no ratings when the snapshot was made."""
        return Request(SimilarItems, path={"item_id": item_id}, query={"limit": limit})

    @operation("GET", "/users/{user_id}/similar")
    def similar_users(self, user_id: str, *, limit: int | None = None) -> Request[SimilarUsers]:
        """Users with a similar taste, most similar first."""
        return Request(SimilarUsers, path={"user_id": user_id}, query={"limit": limit})
