"""Items and users, by the caller's ids."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..call import Call, Iteration, Request, operation


@dataclass(frozen=True, slots=True)
class Item:
    """An item as stored.

    `title`: None for an item that is known only from ratings or events.
    `available_until`: None where the item has no end.
    `created_by`: the id of the user who made it.
    `added_at`: None where it is not known.
    """

    item_id: str
    title: str | None
    categories: tuple[str, ...]
    year: int | None
    attributes: Mapping[str, Any]
    is_available: bool
    available_until: datetime | None
    created_by: str | None
    added_at: datetime | None
    description: str | None = None
    url: str | None = None
    image_url: str | None = None


@dataclass(frozen=True, slots=True)
class ItemsPage:
    """In the order in which the items became known."""

    items: tuple[Item, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class User:
    """A user as stored. `country` is None where it is not known."""

    user_id: str
    country: str | None
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of a merge.

    `user`: the user afterwards.
    `ratings`, `events`: how many of the guest's were moved to the user.
    """

    user: User
    ratings: int
    events: int


class CatalogueOperations:
    @operation("GET", "/items")
    def items(self, *, q: str | None = None, limit: int | None = None, cursor: str | None = None) -> Request[ItemsPage]:
        """The catalogue, up to 1,000 items a page, in the order in which they became known. `q`: part of a title."""
        return Request(ItemsPage, query={"q": q, "limit": limit, "cursor": cursor})

    @Iteration
    def iter_items(self, *, q: str | None = None, page_size: int = 1_000) -> Call[ItemsPage]:
        """All items, or all with `q` in their title."""
        return CatalogueOperations.items.call(q=q, limit=page_size)

    @operation("GET", "/items/{item_id}")
    def item(self, item_id: str) -> Request[Item]:
        """An item. Raises `NotFoundError` where there is none."""
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
        description: str | None = None,
        url: str | None = None,
        image_url: str | None = None,
    ) -> Request[Item]:
        """Make or replace an item. A field that is left out becomes empty; ratings are not touched."""
        # A PUT replaces the whole item, so every field has a place here; those that are None are not sent.
        body = {
            "title": title,
            "categories": list(categories),
            "year": year,
            "attributes": attributes,
            "is_available": is_available,
            "available_until": available_until,
            "created_by": created_by,
            "added_at": added_at,
            "description": description,
            "url": url,
            "image_url": image_url,
        }
        return Request(Item, path={"item_id": item_id}, body=body)

    @operation("DELETE", "/items/{item_id}")
    def delete_item(self, item_id: str) -> Request[None]:
        """Delete an item with its ratings. To hide it but keep what was learned, put `is_available=False`."""
        return Request(type(None), path={"item_id": item_id})

    @operation("GET", "/users/{user_id}")
    def user(self, user_id: str) -> Request[User]:
        """A user. Raises `NotFoundError` where there is none."""
        return Request(User, path={"user_id": user_id})

    @operation("PUT", "/users/{user_id}")
    def put_user(
        self, user_id: str, *, country: str | None = None, attributes: Mapping[str, Any] | None = None
    ) -> Request[User]:
        """Make or replace a user. A field that is left out becomes empty; ratings and events are not touched."""
        return Request(User, path={"user_id": user_id}, body={"country": country, "attributes": attributes})

    @operation("DELETE", "/users/{user_id}")
    def delete_user(self, user_id: str) -> Request[None]:
        """Delete a user with all ratings and events. Succeeds also where there is none."""
        return Request(type(None), path={"user_id": user_id})

    # Not repeatable: the first merge deletes the guest, so a second one would raise `NotFoundError`.
    @operation("POST", "/users/{user_id}/merge/{guest_id}")
    def merge_guest(self, user_id: str, guest_id: str) -> Request[Merged]:
        """Move all ratings, events and attributes of a guest to a user, and delete the guest.

        The user need not exist. Raises `NotFoundError` where the guest does not.
        """
        return Request(Merged, path={"user_id": user_id, "guest_id": guest_id})
