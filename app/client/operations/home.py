"""Whole pages: titled rows, and a taste in parts."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..call import Request, operation
from .recommendations import RecommendedItem


@dataclass(frozen=True, slots=True)
class HomeRow:
    """`row_id`: `picked`, `liked:ITEM_ID`, `category:NAME`, `country:NAME`, `popular`, `trending`, `newest` or
    `different`; the same as long as the row is about the same.
    """

    row_id: str
    title: str
    items: tuple[RecommendedItem, ...]

    def __iter__(self) -> Iterator[RecommendedItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Home:
    """No item stands in two rows."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    rows: tuple[HomeRow, ...]

    def __iter__(self) -> Iterator[HomeRow]:
        return iter(self.rows)


@dataclass(frozen=True, slots=True)
class Mix:
    """`categories`: which the name is made of. `because`: the liked items that are most typical of it."""

    name: str
    categories: tuple[str, ...]
    because: tuple[str, ...]
    items: tuple[RecommendedItem, ...]

    def __iter__(self) -> Iterator[RecommendedItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Mixes:
    """The part that most of the liked items belong to comes first."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    mixes: tuple[Mix, ...]

    def __iter__(self) -> Iterator[Mix]:
        return iter(self.mixes)


class HomeOperations:
    @operation("GET", "/users/{user_id}/home")
    def home(
        self, user_id: str, *, n_rows: int | None = None, limit: int | None = None, placement: str | None = None
    ) -> Request[Home]:
        """A home page: rows of up to `limit` items, each with a title, picked for the user."""
        query = {"n_rows": n_rows, "limit": limit, "placement": placement}
        return Request(Home, path={"user_id": user_id}, query=query)

    @operation("GET", "/users/{user_id}/mixes")
    def mixes(
        self, user_id: str, *, n_mixes: int | None = None, limit: int | None = None, placement: str | None = None
    ) -> Request[Mixes]:
        """The parts of a user's taste, each a list of its own with a name."""
        query = {"n_mixes": n_mixes, "limit": limit, "placement": placement}
        return Request(Mixes, path={"user_id": user_id}, query=query)
