"""What is like what, and who is like whom."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..call import Request, operation


@dataclass(frozen=True, slots=True)
class SimilarItem:
    """`similarity`: up to 1, shrunk where few have rated it."""

    item_id: str
    title: str | None
    similarity: float


@dataclass(frozen=True, slots=True)
class SimilarItems:
    item_id: str
    snapshot_version: int | None
    items: tuple[SimilarItem, ...]

    def __iter__(self) -> Iterator[SimilarItem]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class SimilarUser:
    """`similarity`: up to 1, shrunk where the other has rated little."""

    user_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class SimilarUsers:
    """`strategy`: what the user was known by."""

    user_id: str
    snapshot_version: int | None
    strategy: str
    users: tuple[SimilarUser, ...]

    def __iter__(self) -> Iterator[SimilarUser]:
        return iter(self.users)


class SimilarOperations:
    @operation("GET", "/items/{item_id}/similar")
    def similar_items(self, item_id: str, *, limit: int | None = None) -> Request[SimilarItems]:
        """What raters see in common with an item; empty for one that nobody had rated when it was learned."""
        return Request(SimilarItems, path={"item_id": item_id}, query={"limit": limit})

    @operation("GET", "/users/{user_id}/similar")
    def similar_users(self, user_id: str, *, limit: int | None = None) -> Request[SimilarUsers]:
        """Users with a similar taste, the most similar first."""
        return Request(SimilarUsers, path={"user_id": user_id}, query={"limit": limit})
