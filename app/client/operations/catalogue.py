"""Items and users, by the caller's ids."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from ..batches import RowOutcome, Sent, in_batches
from ..call import Call, Iteration, Procedure, Request, Steps, operation


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


@dataclass(frozen=True, slots=True)
class ItemRow:
    """A whole item to be sent in a batch; what is None is empty in the stored item."""

    item_id: str
    title: str | None = None
    categories: Sequence[str] = ()
    year: int | None = None
    attributes: Mapping[str, Any] | None = None
    is_available: bool = True
    available_until: datetime | None = None
    created_by: str | None = None
    added_at: datetime | None = None
    description: str | None = None
    url: str | None = None
    image_url: str | None = None


@dataclass(frozen=True, slots=True)
class UserRow:
    """A whole user to be sent in a batch; what is None is empty in the stored user."""

    user_id: str
    country: str | None = None
    attributes: Mapping[str, Any] | None = None


class ItemChanges(TypedDict, total=False):
    """Changes of an item. None clears a field, or removes an attribute; what is left out stays as it is."""

    title: str | None
    categories: Sequence[str] | None
    year: int | None
    attributes: Mapping[str, Any] | None
    is_available: bool | None
    available_until: datetime | None
    created_by: str | None
    added_at: datetime | None
    description: str | None
    url: str | None
    image_url: str | None


class UserChanges(TypedDict, total=False):
    """Changes of a user. None clears a field, or removes an attribute; what is left out stays as it is."""

    country: str | None
    attributes: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class EntriesOutcome:
    """The outcome of a batch of items or users: counts, and one result a row."""

    stored: int
    replaced: int
    unchanged: int
    rejected: int
    results: tuple[RowOutcome, ...]


@dataclass(frozen=True, slots=True)
class UsersPage:
    """In the order in which the users became known."""

    users: tuple[User, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[User]:
        return iter(self.users)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is stored. `items` includes `bare_items`, which are known only from ratings and events."""

    users: int
    items: int
    bare_items: int
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

    @operation("PATCH", "/items/{item_id}")
    def patch_item(self, item_id: str, changes: ItemChanges) -> Request[Item]:
        """Change some fields of an item: `patch_item("318", {"is_available": False})`. Answers what is stored now.

        Attributes are merged by name. Raises `NotFoundError` where there is no such item.
        """
        return Request(Item, path={"item_id": item_id}, body=changes, sends_null=True)

    @operation("POST", "/items/batch")
    def put_item_batch(self, items: Sequence[ItemRow]) -> Request[EntriesOutcome]:
        """Make or replace up to 1,000 items in one request, each checked separately. `put_items` takes any number."""
        return Request(EntriesOutcome, body={"items": list(items)})

    @Procedure
    def put_items(self, items: Iterable[ItemRow]) -> Steps[Sent[ItemRow]]:
        """Make or replace any number of items, in batches; rejected rows have their index in `items`."""
        return in_batches(items, CatalogueOperations.put_item_batch.call)

    @operation("DELETE", "/items/{item_id}")
    def delete_item(self, item_id: str) -> Request[None]:
        """Delete an item with its ratings. To hide it but keep what was learned, patch `is_available`."""
        return Request(type(None), path={"item_id": item_id})

    @operation("GET", "/users")
    def users(self, *, q: str | None = None, limit: int | None = None, cursor: str | None = None) -> Request[UsersPage]:
        """The users, up to 1,000 a page, in the order in which they became known. `q`: part of an id."""
        return Request(UsersPage, query={"q": q, "limit": limit, "cursor": cursor})

    @Iteration
    def iter_users(self, *, q: str | None = None, page_size: int = 1_000) -> Call[UsersPage]:
        """All users, or all with `q` in their id."""
        return CatalogueOperations.users.call(q=q, limit=page_size)

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

    @operation("PATCH", "/users/{user_id}")
    def patch_user(self, user_id: str, changes: UserChanges) -> Request[User]:
        """Change some fields of a user: `patch_user("1", {"attributes": {"age": 32}})`. Answers what is stored now.

        Attributes are merged by name. Raises `NotFoundError` where there is no such user.
        """
        return Request(User, path={"user_id": user_id}, body=changes, sends_null=True)

    @operation("POST", "/users/batch")
    def put_user_batch(self, users: Sequence[UserRow]) -> Request[EntriesOutcome]:
        """Make or replace up to 1,000 users in one request, each checked separately. `put_users` takes any number."""
        return Request(EntriesOutcome, body={"users": list(users)})

    @Procedure
    def put_users(self, users: Iterable[UserRow]) -> Steps[Sent[UserRow]]:
        """Make or replace any number of users, in batches; rejected rows have their index in `users`."""
        return in_batches(users, CatalogueOperations.put_user_batch.call)

    @operation("DELETE", "/users/{user_id}")
    def delete_user(self, user_id: str) -> Request[None]:
        """Delete a user with all ratings and events. Succeeds also where there is none.

        `erasure("latest")` is the receipt, unless another user was deleted meanwhile.
        """
        return Request(type(None), path={"user_id": user_id})

    # Not repeatable: the first merge deletes the guest, so a second one would raise `NotFoundError`.
    @operation("POST", "/users/{user_id}/merge/{guest_id}")
    def merge_guest(self, user_id: str, guest_id: str) -> Request[Merged]:
        """Move all ratings, events and attributes of a guest to a user, and delete the guest.

        The user need not exist. Raises `NotFoundError` where the guest does not.
        """
        return Request(Merged, path={"user_id": user_id, "guest_id": guest_id})

    @operation("GET", "/counts")
    def counts(self) -> Request[Counts]:
        """How much is stored. Takes longer where more is: about a second for 10 million ratings."""
        return Request(Counts)
