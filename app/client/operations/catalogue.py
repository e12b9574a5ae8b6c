"""Items, by the caller's ids."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..call import Call, Iteration, Request, operation


@dataclass(frozen=True, slots=True)
class Item:
    """`title`: None for an item known only from ratings."""

    item_id: str
    title: str | None
    categories: tuple[str, ...]
    year: int | None
    attributes: Mapping[str, Any]
    is_available: bool
    available_until: datetime | None
    created_by: str | None
    added_at: datetime | None


@dataclass(frozen=True, slots=True)
class ItemsPage:
    items: tuple[Item, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)


class CatalogueOperations:
    @operation("GET", "/items")
    def items(self, *, q: str | None = None, limit: int | None = None, cursor: str | None = None) -> Request[ItemsPage]:
        """The catalogue, up to 1,000 a page, in the order in which the items became known. `q`: part of a title."""
        return Request(ItemsPage, query={"q": q, "limit": limit, "cursor": cursor})

    @Iteration
    def iter_items(self, *, q: str | None = None, page_size: int = 1_000) -> Call[ItemsPage]:
        """All items, or all with `q` in their title."""
        return CatalogueOperations.items.call(q=q, limit=page_size)

    @operation("GET", "/items/{item_id}")
    def item(self, item_id: str) -> Request[Item]:
        """An item; raises `NotFoundError` where there is none."""
        return Request(Item, path={"item_id": item_id})

    @operation("PUT", "/items/{item_id}")
    def put_item(
        self,
        item_id: str,
        *,
        title: str | None = None,
        categories: Sequence[str] = (),
        year: int | None = None,
        attributes: Mapping[str, Any] | None = None,
        is_available: bool = True,
        available_until: datetime | None = None,
        created_by: str | None = None,
        added_at: datetime | None = None,
    ) -> Request[Item]:
        """Make or replace an item: what is left out becomes empty. Ratings are not touched."""
        body = {
            "title": title,
            "categories": list(categories),
            "year": year,
            "attributes": attributes,
            "is_available": is_available,
            "available_until": available_until,
            "created_by": created_by,
            "added_at": added_at,
        }
        return Request(Item, path={"item_id": item_id}, body=body)

    @operation("DELETE", "/items/{item_id}")
    def delete_item(self, item_id: str) -> Request[None]:
        """Delete an item with its ratings. To hide it but keep what is learned, put `is_available=False`."""
        return Request(type(None), path={"item_id": item_id})
