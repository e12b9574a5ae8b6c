"""What is like what."""

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


class SimilarOperations:
    @operation("GET", "/items/{item_id}/similar")
    def similar_items(self, item_id: str, *, limit: int | None = None) -> Request[SimilarItems]:
        """What raters see in common with an item; empty for one that nobody had rated when it was learned."""
        return Request(SimilarItems, path={"item_id": item_id}, query={"limit": limit})
