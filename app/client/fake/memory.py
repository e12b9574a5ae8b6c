"""What the fake keeps, and what a test may tell it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from ..errors import Problem, ProblemError
from ..operations.catalogue import Item
from ..operations.ratings import StoredRating
from ..operations.training import Snapshot, TrainingJob
from ..operations.users import User


@dataclass
class Memory:
    """`scale`: the lowest and the highest rating. `ratings`: by user and item id; a deleted one has the value None.

    `lists`: what to recommend to whom, item ids by user id, in place of what is popular.
    """

    scale: tuple[float, float] = (1.0, 5.0)
    lists: dict[str, Sequence[str]] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    ratings: dict[tuple[str, str], StoredRating] = field(default_factory=dict)
    jobs: dict[str, TrainingJob] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    failure: int | str | None = None

    @contextmanager
    def failing(self, status: int | None = 503) -> Iterator[None]:
        """Meanwhile every request gets an error with this status; None: the service cannot be reached."""
        self.failure = status or "unreachable"
        try:
            yield
        finally:
            self.failure = None

    def fail_if_told(self, request: httpx.Request) -> None:
        if isinstance(self.failure, int):
            text = "the fake was told to fail"
            raise ProblemError(Problem("urn:reckon:problem:told-to-fail", text, self.failure, text))
        if self.failure is not None:
            raise httpx.ConnectError("the fake was told not to be reached", request=request)

    def add_user(self, user_id: str) -> None:
        self.users.setdefault(user_id, User(user_id, None, {}))

    def add_item(self, item_id: str) -> None:
        self.items.setdefault(item_id, Item(item_id, None, (), None, {}, True, None, None, None))

    def forget(self, *, user_id: str | None = None, item_id: str | None = None) -> None:
        """The ratings of a user or of an item that is gone."""
        for user, item in list(self.ratings):
            if user == user_id or item == item_id:
                del self.ratings[user, item]

    def ratings_of(self, user_id: str) -> dict[str, StoredRating]:
        """By item id, in the order in which the items became known."""
        own = {item: each for (user, item), each in self.ratings.items() if user == user_id and each.value is not None}
        return {item_id: own[item_id] for item_id in self.items if item_id in own}

    def values_of(self, item_id: str) -> list[float]:
        return [each.value for (_, item), each in self.ratings.items() if item == item_id and each.value is not None]

    def popular(self) -> list[Item]:
        """What can be shown: most rated first, then as they became known."""
        now = datetime.now(UTC)
        shown = [
            item
            for item in self.items.values()
            if item.is_available and (item.available_until is None or item.available_until > now)
        ]
        return sorted(shown, key=lambda item: -len(self.values_of(item.item_id)))
