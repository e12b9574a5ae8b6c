"""Users and items in memory."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ..operations.catalogue import Item, ItemsPage
from ..operations.users import User
from .memory import Memory
from .paging import found, page_of


class CatalogueAnswers:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def user(self, user_id: str) -> User:
        return found(self._memory.users, "user", user_id)

    def put_user(self, user_id: str, country: str | None = None, attributes: dict[str, Any] | None = None) -> User:
        self._memory.users[user_id] = User(user_id, country, attributes or {})
        return self._memory.users[user_id]

    def delete_user(self, user_id: str) -> None:
        self._memory.users.pop(user_id, None)
        self._memory.forget(user_id=user_id)

    def item(self, item_id: str) -> Item:
        return found(self._memory.items, "item", item_id)

    def put_item(
        self,
        item_id: str,
        *,
        title: str | None = None,
        categories: Sequence[str] = (),
        year: int | None = None,
        attributes: dict[str, Any] | None = None,
        is_available: bool = True,
        available_until: str | None = None,
        created_by: str | None = None,
        added_at: str | None = None,
    ) -> Item:
        self._memory.items[item_id] = Item(
            item_id=item_id,
            title=title,
            categories=tuple(dict.fromkeys(categories)),
            year=year,
            attributes=attributes or {},
            is_available=is_available,
            available_until=None if available_until is None else datetime.fromisoformat(available_until),
            created_by=created_by,
            added_at=None if added_at is None else datetime.fromisoformat(added_at),
        )
        return self._memory.items[item_id]

    def delete_item(self, item_id: str) -> None:
        self._memory.items.pop(item_id, None)
        self._memory.forget(item_id=item_id)

    def items(self, q: str | None = None, limit: int = 100, cursor: str | None = None) -> ItemsPage:
        sought = (q or "").lower()
        matching = {
            item_id: item for item_id, item in self._memory.items.items() if sought in (item.title or "").lower()
        }
        return ItemsPage(*page_of(matching, limit, cursor))
