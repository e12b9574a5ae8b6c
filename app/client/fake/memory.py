"""What the fake keeps, and what a test may tell it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import log2

import httpx

from ..errors import Problem, ProblemError
from ..operations.catalogue import Item
from ..operations.events import EventType, StoredEvent
from ..operations.placements import PlacementSettings
from ..operations.ratings import StoredRating
from ..operations.training import Snapshot, TrainingJob
from ..operations.users import User
from .paging import found

DEFAULT_PLACEMENT = "home"

DECLARED = (
    EventType("shown", 0.0, is_exposure=True, is_consumption=False),
    EventType("clicked", 1.0, is_exposure=False, is_consumption=False),
    EventType("liked", 2.0, is_exposure=False, is_consumption=False),
    EventType("disliked", -2.0, is_exposure=False, is_consumption=False),
    EventType("watched", 2.0, is_exposure=False, is_consumption=True),
    EventType("bought", 3.0, is_exposure=False, is_consumption=True),
)

DEFAULT_SETTINGS: PlacementSettings = {
    "sources": None,
    "filter": None,
    "boost": None,
    "consume_again": False,
    "own_items": False,
    "category_cap": None,
    "diversity": 0.0,
    "novelty": 0.0,
    "exploration": 0.0,
    "rotation": 0.5,
    "rotation_half_life_hours": 12.0,
    "freshness": 0.0,
    "freshness_half_life_days": 14.0,
    "promote": None,
    "promoted_share": 0.2,
    "demote": None,
    "demotion": 0.5,
    "recurring": 0.0,
    "dissimilar": False,
}


@dataclass
class Memory:
    """`scale`: the lowest and the highest rating. `ratings`: by user and item id; a deleted one has the value None.

    `events`: by event id, with the user's id. `lists`: what to recommend to whom, item ids by user id, in place of what
    is popular.
    """

    scale: tuple[float, float] = (1.0, 5.0)
    lists: dict[str, Sequence[str]] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    ratings: dict[tuple[str, str], StoredRating] = field(default_factory=dict)
    events: dict[str, tuple[str, StoredEvent]] = field(default_factory=dict)
    event_types: dict[str, EventType] = field(default_factory=lambda: {each.name: each for each in DECLARED})
    jobs: dict[str, TrainingJob] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    placements: dict[str, PlacementSettings] = field(default_factory=dict)
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
        """The ratings and events of a user or of an item that is gone."""
        for user, item in list(self.ratings):
            if user == user_id or item == item_id:
                del self.ratings[user, item]
        for event_id, (user, event) in list(self.events.items()):
            if user == user_id or event.item_id == item_id:
                del self.events[event_id]

    def ratings_of(self, user_id: str) -> dict[str, StoredRating]:
        """By item id, in the order in which the items became known."""
        own = {item: each for (user, item), each in self.ratings.items() if user == user_id and each.value is not None}
        return {item_id: own[item_id] for item_id in self.items if item_id in own}

    def is_newer(self, rating: StoredRating) -> bool:
        """Than what is stored of the same user and item; of equal times, the later arrival."""
        held = self.ratings.get((rating.user_id, rating.item_id))
        return (
            held is None or held.rated_at is None or (rating.rated_at is not None and rating.rated_at >= held.rated_at)
        )

    def events_of(self, user_id: str) -> list[StoredEvent]:
        return [event for user, event in self.events.values() if user == user_id]

    def consumed_by(self, user_id: str) -> set[str]:
        """The ids of the items that are not recommended again: rated, watched, bought."""
        consumed = {event.item_id for event in self.events_of(user_id) if self.event_types[event.type].is_consumption}
        return consumed | set(self.ratings_of(user_id))

    def disliked_by(self, user_id: str) -> set[str]:
        """The ids of the items that the user's events speak against: by weight, log2(1 + count) and largest portion."""
        portions: dict[tuple[str, str], list[float]] = {}
        for event in self.events_of(user_id):
            portions.setdefault((event.item_id, event.type), []).append(1.0 if event.portion is None else event.portion)
        strengths: dict[str, float] = {}
        for (item_id, name), each in portions.items():
            said = self.event_types[name].weight * log2(1 + len(each)) * max(each)
            strengths[item_id] = strengths.get(item_id, 0.0) + said
        return {item_id for item_id, strength in strengths.items() if strength < 0}

    def values_of(self, item_id: str) -> list[float]:
        return [each.value for (_, item), each in self.ratings.items() if item == item_id and each.value is not None]

    def settings_of(self, name: str) -> PlacementSettings:
        if name != DEFAULT_PLACEMENT:
            found(self.placements, "placement", name)
        return {**DEFAULT_SETTINGS, **self.placements.get(name, {})}

    def is_shown(self, item_id: str) -> bool:
        item = self.items[item_id]
        return item.is_available and (item.available_until is None or item.available_until > datetime.now(UTC))

    def shown(self) -> list[Item]:
        return [item for item_id, item in self.items.items() if self.is_shown(item_id)]

    def popular(self) -> list[Item]:
        """What can be shown: most rated first, then as they became known."""
        return sorted(self.shown(), key=lambda item: -len(self.values_of(item.item_id)))
