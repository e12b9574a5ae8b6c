"""What a product's pages show besides recommendations: home rows, mixes, charts, similar items and users."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypedDict, Unpack

from ..call import Call, Iteration, Request, operation
from .item_columns import ItemColumns
from .recommendations import AttributeField, ItemField, RecommendedItem, StoredField, written

ChartName = Literal["popular", "trending", "newest"]
SimilarKind = Literal["blend", "taste", "together", "next"]


class ChartOptions(TypedDict, total=False):
    """Which items a chart may contain."""

    category: str | None
    """Only items of this category."""
    country: str | None
    """What counts in this country, as the users have it."""
    filter: str | None
    """Only items that fulfil a condition, as in `RankingOptions`."""
    fields: Sequence[StoredField | AttributeField]
    """Add these columns of the stored items, and leave out the title unless it is among them."""


class SimilarOptions(TypedDict, total=False):
    """Which items a list of similar items may contain, and for whom. One left out has the service's default."""

    kind: SimilarKind | None
    """In what the items are alike; by default `blend`, all that is known."""
    user_id: str | None
    """Leave out what this user has, and move up what suits the user."""
    category: str | None
    """Only items of this category."""
    filter: str | None
    """Only items that fulfil a condition, as in `RankingOptions`."""
    exclude: Iterable[str]
    """Ids of items to leave out."""
    placement: str | None
    """The placement whose restrictions apply; by default `home`."""
    fields: Sequence[ItemField | Literal["similarity", "contributions"] | AttributeField]
    """Return only these fields of the items, and `item_id`; by default all but the columns of the stored item."""


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
    degraded: bool = field(default=False, kw_only=True)

    def __iter__(self) -> Iterator[HomeRow]:
        return iter(self.rows)


@dataclass(frozen=True, slots=True)
class Mix:
    """A list for one part of a user's taste.

    `categories`: those that the name is made of; every item has at least one of them. Empty
    for a mix that is named after an item.
    `because`: ids of the liked items that are most typical of the part.
    `category_share`: of the items, those that have all of `categories`; None where there are none.
    """

    name: str
    categories: tuple[str, ...]
    because: tuple[str, ...]
    items: tuple[RecommendedItem, ...]
    # With a default, so that programs from before it was known still make answers for their tests.
    category_share: float | None = None

    def __iter__(self) -> Iterator[RecommendedItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Mixes:
    """The part with the most liked items comes first."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    mixes: tuple[Mix, ...]
    degraded: bool = field(default=False, kw_only=True)

    def __iter__(self) -> Iterator[Mix]:
        return iter(self.mixes)


# The service answers a class of its own for each chart. One class with three optional fields spares callers a union.
@dataclass(frozen=True, slots=True)
class ChartItem(ItemColumns):
    """An item of a chart; each chart fills some of the last four fields.

    `rank`: from 1, continued over the pages.
    `ratings`, `likes`: of `popular`, how many users rated it or have positive events of it, and how many liked it; the
        chart is ordered by `likes`.
    `heat`: of `trending`, the decayed number of liked ratings and positive events, at most one a day of each user,
        with a half-life of three days.
    `added_at`: of `newest`, or of any chart whose `fields` name it; None also where it is not known.
    """

    item_id: str
    title: str | None = None
    rank: int = 0
    ratings: int | None = None
    heat: float | None = None
    likes: int | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """A page of a chart. `snapshot_version`: None before anything is learned. `limit_reached`, `notes`: as in
    `Recommendations`.
    """

    chart: str
    snapshot_version: int | None
    items: tuple[ChartItem, ...]
    next_cursor: str | None
    limit_reached: bool = False
    notes: tuple[str, ...] = ()
    degraded: bool = field(default=False, kw_only=True)

    def __iter__(self) -> Iterator[ChartItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class SimilarItem(ItemColumns):
    """An item of a list of similar items. A field that is not returned is None or empty; a `similarity` that is not
    returned is NaN.

    `similarity`: of the kinds `blend` and `taste` at most 1, shrunk where few users have rated the items.
    `contributions`: what it is made of; the values sum to it.
    """

    item_id: str
    title: str | None = None
    similarity: float = math.nan
    contributions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """Most similar first. `kind`: in what the items are alike. `next_cursor`: None where nothing else is similar.

    `limit_reached`, `notes`: as in `Recommendations`.
    """

    item_id: str
    snapshot_version: int | None
    items: tuple[SimilarItem, ...]
    # With defaults, so that programs from before these fields still make answers for their tests.
    kind: str = "blend"
    recommendation_id: str = ""
    next_cursor: str | None = None
    limit_reached: bool = False
    notes: tuple[str, ...] = ()
    degraded: bool = field(default=False, kw_only=True)

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
        self,
        user_id: str,
        *,
        n_rows: int | None = None,
        limit: int | None = None,
        placement: str | None = None,
        fields: Sequence[ItemField | AttributeField] = (),
    ) -> Request[Home]:
        """A home page for a user: up to `n_rows` titled rows of up to `limit` items."""
        query = {"n_rows": n_rows, "limit": limit, "placement": placement, "fields": list(fields)}
        return Request(Home, path={"user_id": user_id}, query=query)

    @operation("GET", "/users/{user_id}/mixes")
    def mixes(
        self,
        user_id: str,
        *,
        n_mixes: int | None = None,
        limit: int | None = None,
        placement: str | None = None,
        fields: Sequence[ItemField | AttributeField] = (),
    ) -> Request[Mixes]:
        """The parts of a user's taste, each a named list of its own."""
        query = {"n_mixes": n_mixes, "limit": limit, "placement": placement, "fields": list(fields)}
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
        return Request(Chart, path={"chart": chart}, query={"limit": limit, "cursor": cursor, **written(options)})

    @Iteration
    def iter_chart(self, chart: ChartName, *, page_size: int = 100, **options: Unpack[ChartOptions]) -> Call[Chart]:
        """One item after the other, none twice."""
        return PageOperations.chart.call(chart, limit=page_size, **options)

    @operation("GET", "/items/{item_id}/similar")
    def similar_items(
        self, item_id: str, *, limit: int | None = None, cursor: str | None = None, **options: Unpack[SimilarOptions]
    ) -> Request[SimilarItems]:
        """Items similar to an item, most similar first, by a blend of what the same users choose, of their taste, and
        of what the items are.

        Empty before anything is learned, and with a `kind` of which the snapshot holds nothing.
        """
        query = {"limit": limit, "cursor": cursor, **written(options)}
        return Request(SimilarItems, path={"item_id": item_id}, query=query)

    @Iteration
    def iter_similar_items(
        self, item_id: str, *, page_size: int = 100, **options: Unpack[SimilarOptions]
    ) -> Call[SimilarItems]:
        """One item after the other, none twice."""
        return PageOperations.similar_items.call(item_id, limit=page_size, **options)

    @operation("GET", "/users/{user_id}/similar")
    def similar_users(self, user_id: str, *, limit: int | None = None) -> Request[SimilarUsers]:
        """Users with a similar taste, most similar first."""
        return Request(SimilarUsers, path={"user_id": user_id}, query={"limit": limit})
