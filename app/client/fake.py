"""A service in memory for the tests of a product: the real client on a transport that never leaves the process.

It stores what is written and returns it, and returns lists that the test sets. It has no rules of the service: it
stores input that the service would refuse, and a rated item stays in the list.

Rejected alternative: a second implementation of the rules, which would come to differ from the first. `app.testing`
runs the service itself.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote

import httpx
import msgspec

from .batches import RowOutcome
from .call import Call, Operation, Route
from .clients import AsyncReckon, Reckon
from .errors import PREFIX, PROBLEM, NotFoundError, Problem, ProblemError
from .operations import Operations
from .operations.catalogue import Counts, EntriesOutcome, Item, ItemRow, ItemsPage, User, UsersPage
from .operations.interactions import (
    EventsOutcome,
    EventsPage,
    EventType,
    EventTypes,
    RatingsOutcome,
    RatingsPage,
    StoredEvent,
    StoredRating,
)
from .operations.pages import Chart, ChartItem
from .operations.placements import Placement, Placements, PlacementSettings
from .operations.rankings import Ranking
from .operations.recommendations import (
    GuestRecommendations,
    Recommendations,
    RecommendationsBatch,
    RecommendedItem,
    UserRecommendations,
)
from .operations.training import Health, Readiness, Snapshots
from .retries import NO_RETRIES, Retries
from .wire import address_of

T = TypeVar("T")

ADDRESS = "http://reckon.fake"
EMPTY_ITEM = {name: each for name, each in msgspec.to_builtins(ItemRow("")).items() if name != "item_id"} | {
    "attributes": {}
}
# The declared operations are the routes of the fake, so that its addresses cannot differ from the client's.
OPERATIONS: dict[str, Operation[..., Any]] = {
    name: each for name in dir(Operations) if isinstance(each := getattr(Operations, name), Operation)
}


@dataclass
class Memory:
    """The stored data of a fake and the answers that a test has set; a test may read and change all of it.

    `ratings`: by user and item id.
    `events`: by user and event id.
    `recommendations`: lists by user id, in place of all stored items.
    `answers`: JSON by method and path, in place of what the fake would answer itself.
    """

    users: dict[str, User] = field(default_factory=dict)
    items: dict[str, Item] = field(default_factory=dict)
    ratings: dict[tuple[str, str], StoredRating] = field(default_factory=dict)
    events: dict[tuple[str, str], StoredEvent] = field(default_factory=dict)
    event_types: dict[str, EventType] = field(default_factory=dict)
    placements: dict[str, PlacementSettings] = field(default_factory=dict)
    recommendations: dict[str, list[RecommendedItem]] = field(default_factory=dict)
    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    failure: int | str | None = None

    @contextmanager
    def failing(self, status: int | None = 503) -> Iterator[None]:
        """Within the block every request gets an error with this status; None: the service cannot be reached."""
        self.failure = status or "unreachable"
        try:
            yield
        finally:
            self.failure = None

    def forget(self, *, user_id: str | None = None, item_id: str | None = None) -> None:
        """Drop the ratings and events of a user or an item."""
        for key in [key for key in self.ratings if key[0] == user_id or key[1] == item_id]:
            del self.ratings[key]
        for (owner, event_id), event in list(self.events.items()):
            if owner == user_id or event.item_id == item_id:
                del self.events[owner, event_id]


class _Settable:
    """The methods by which a test sets the answers of a fake."""

    memory: Memory

    def set_recommendations(self, user_id: str, items: Sequence[str | RecommendedItem]) -> None:
        """Set the recommendations of a user, best first, as ids or as items with all fields to return."""
        self.memory.recommendations[user_id] = [
            each if isinstance(each, RecommendedItem) else RecommendedItem(each, score=float(-rank))
            for rank, each in enumerate(items)
        ]

    def set_answer(self, call: Call[T], answer: T) -> None:
        """Set the answer to `call`; query and body are not compared.

        `set_answer(Reckon.similar_items.call("260"), SimilarItems("260", 1, (SimilarItem("589", None, 0.9),)))`
        """
        self.memory.answers[call.route.method, address_of(call).partition("?")[0]] = answer


# No retries by default: a test of a failing service would wait for them.
class FakeReckon(_Settable, Reckon):
    """A `Reckon` without a service. `memory` holds what was stored and decides what is answered."""

    def __init__(self, memory: Memory | None = None, *, retries: Retries = NO_RETRIES) -> None:
        self.memory = memory or Memory()
        super().__init__(ADDRESS, retries=retries, transport=FakeTransport(self.memory))


class AsyncFakeReckon(_Settable, AsyncReckon):
    """As `FakeReckon`, for asyncio; only what the service answers is awaited."""

    def __init__(self, memory: Memory | None = None, *, retries: Retries = NO_RETRIES) -> None:
        self.memory = memory or Memory()
        super().__init__(ADDRESS, retries=retries, transport=FakeTransport(self.memory))


class FakeTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers requests from a `Memory`, for both kinds of clients."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._answers = Answers(memory)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._respond(request, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._respond(request, await request.aread())

    def _respond(self, request: httpx.Request, content: bytes) -> httpx.Response:
        try:
            answer = self._answer(request, content)
        except ProblemError as error:
            content = msgspec.json.encode(replace(error.problem, request_id="fake"))
            return httpx.Response(error.status, headers={"content-type": PROBLEM}, content=content, request=request)
        if answer is None:
            return httpx.Response(204, request=request)
        return httpx.Response(200, json=_without_nan(msgspec.to_builtins(answer)), request=request)

    def _answer(self, request: httpx.Request, content: bytes) -> Any:
        if isinstance(self._memory.failure, str):
            raise httpx.ConnectError("the fake is set to be unreachable", request=request)
        if self._memory.failure is not None:
            text = "the fake is set to fail"
            raise ProblemError(Problem(PREFIX + "set-to-fail", text, self._memory.failure, text))
        path, _, query = request.url.raw_path.decode().partition("?")
        # Answers of the test come first: they may replace what the fake would answer itself.
        if (request.method, path) in self._memory.answers:
            return self._memory.answers[request.method, path]
        for name, operation in OPERATIONS.items():
            matched = _pattern(operation.route).fullmatch(path)
            if matched and operation.route.method == request.method and hasattr(self._answers, name):
                given = {key: unquote(text) for key, text in matched.groupdict().items()}
                options = {key: texts[0] for key, texts in parse_qs(query).items()}
                return getattr(self._answers, name)(**given, **options, **(json.loads(content) if content else {}))
        # Not a `ReckonError`: code that survives a failing service must not hide that the test lacks an answer.
        raise LookupError(f"the fake has no answer to {request.method} {path}: give it one with `set_answer`")


class Answers:
    """The answers of the fake: methods named as the operations, with their parameters; other options are ignored."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def user(self, user_id: str) -> User:
        return _get(self._memory.users, "user", user_id)

    def put_user(self, user_id: str, **body: Any) -> User:
        self._memory.users[user_id] = _stored(User, body, user_id=user_id, attributes=body.get("attributes", {}))
        return self._memory.users[user_id]

    def patch_user(self, user_id: str, **changes: Any) -> User:
        user = _patched(_get(self._memory.users, "user", user_id), {"country": None, "attributes": {}}, changes)
        self._memory.users[user_id] = user
        return user

    def put_user_batch(self, users: list[dict[str, Any]]) -> EntriesOutcome:
        # Every row counts as stored, as in `rate_batch`.
        stored = [self.put_user(**row) for row in users]
        return EntriesOutcome(len(stored), 0, 0, 0, tuple(RowOutcome(n, "stored") for n in range(len(stored))))

    def users(self, q: str = "", **page: Any) -> UsersPage:
        return UsersPage(*_page([each for each in self._memory.users.values() if q in each.user_id], **page))

    def delete_user(self, user_id: str) -> None:
        self._memory.users.pop(user_id, None)
        self._memory.forget(user_id=user_id)

    def item(self, item_id: str) -> Item:
        return _get(self._memory.items, "item", item_id)

    def put_item(self, item_id: str, **body: Any) -> Item:
        self._memory.items[item_id] = _stored(Item, body, item_id=item_id, attributes=body.get("attributes", {}))
        return self._memory.items[item_id]

    def patch_item(self, item_id: str, **changes: Any) -> Item:
        item = _patched(_get(self._memory.items, "item", item_id), EMPTY_ITEM, changes)
        self._memory.items[item_id] = item
        return item

    def put_item_batch(self, items: list[dict[str, Any]]) -> EntriesOutcome:
        stored = [self.put_item(**row) for row in items]
        return EntriesOutcome(len(stored), 0, 0, 0, tuple(RowOutcome(n, "stored") for n in range(len(stored))))

    def delete_item(self, item_id: str) -> None:
        self._memory.items.pop(item_id, None)
        self._memory.forget(item_id=item_id)

    def items(self, q: str = "", **page: Any) -> ItemsPage:
        return ItemsPage(*_page([each for each in self._memory.items.values() if q in (each.title or "")], **page))

    def rate(self, **row: Any) -> StoredRating:
        rating = _stored(StoredRating, {"rated_at": datetime.now(UTC), **row})
        self._memory.ratings[rating.user_id, rating.item_id] = rating
        return rating

    def rate_batch(self, ratings: list[dict[str, Any]]) -> RatingsOutcome:
        # Every row counts as stored: whether it replaces another is a question of the service's rules.
        stored = [self.rate(**row) for row in ratings]
        return RatingsOutcome(len(stored), 0, 0, 0, tuple(RowOutcome(n, "stored") for n in range(len(stored))))

    def ratings(self, user_id: str, sort: str = "item", **page: Any) -> RatingsPage:
        own = [each for each in self._memory.ratings.values() if each.user_id == user_id]
        if sort == "time":
            # A rating without a time is older than any other.
            own.sort(key=lambda each: (each.rated_at is not None, each.rated_at), reverse=True)
        return RatingsPage(*_page(own, **page))

    def delete_rating(self, user_id: str, item_id: str) -> None:
        self._memory.ratings.pop((user_id, item_id), None)

    def send_event_batch(self, events: list[dict[str, Any]]) -> EventsOutcome:
        for row in events:
            event = _stored(StoredEvent, {"at": datetime.now(UTC), **row})
            self._memory.events[row["user_id"], event.event_id] = event
        return EventsOutcome(len(events), 0, 0, tuple(RowOutcome(n, "stored") for n in range(len(events))))

    def delete_event(self, event_id: str) -> None:
        for key in [key for key in self._memory.events if key[1] == event_id]:
            del self._memory.events[key]

    def events(self, user_id: str, **page: Any) -> EventsPage:
        own = [each for (owner, _), each in self._memory.events.items() if owner == user_id]
        # The client promises the newest first; the fake takes the order of arrival for the order of time.
        return EventsPage(*_page(own[::-1], **page))

    def all_events(self, user_id: str = "", item_id: str = "", type: str = "", **page: Any) -> EventsPage:  # noqa: A002
        wanted = {"user_id": user_id, "item_id": item_id, "type": type}
        events = [
            event
            for event in self._memory.events.values()
            if all(not value or getattr(event, name) == value for name, value in wanted.items())
        ]
        return EventsPage(*_page(events[::-1], **page))

    def counts(self) -> Counts:
        memory = self._memory
        return Counts(len(memory.users), len(memory.items), 0, len(memory.ratings), len(memory.events))

    def event_types(self) -> EventTypes:
        return EventTypes(tuple(self._memory.event_types.values()))

    def put_event_type(self, name: str, **body: Any) -> EventType:
        self._memory.event_types[name] = _stored(EventType, body, name=name)
        return self._memory.event_types[name]

    def delete_event_type(self, name: str) -> None:
        self._memory.event_types.pop(name, None)

    def placements(self) -> Placements:
        return Placements(tuple(Placement(name, each) for name, each in self._memory.placements.items()))

    def placement(self, name: str) -> Placement:
        return Placement(name, _get(self._memory.placements, "placement", name))

    def put_placement(self, name: str, **settings: Any) -> Placement:
        self._memory.placements[name] = PlacementSettings(**settings)  # type: ignore[typeddict-item]  # kept unchecked
        return self.placement(name)

    def delete_placement(self, name: str, **_options: Any) -> None:
        self._memory.placements.pop(name, None)

    def recommendations(self, user_id: str = "", **page: Any) -> Recommendations:
        return Recommendations(f"fake-{user_id}", None, "popular", *_page(self._list_for(user_id), **page))

    # It names the user as `recommendations` does, in the body.
    preview_placement = recommendations

    def recommendations_for(self, user_id: str = "", **page: Any) -> GuestRecommendations:
        return GuestRecommendations(f"fake-{user_id}", None, "popular", *_page(self._list_for(user_id), **page))

    def recommendations_batch(self, user_ids: list[str], **page: Any) -> RecommendationsBatch:
        lists = (UserRecommendations(user_id, self.recommendations(user_id, **page)) for user_id in user_ids)
        return RecommendationsBatch(tuple(lists))

    def rank(self, item_ids: list[str], user_id: str = "", **_options: Any) -> Ranking:
        """The candidates in the order of the user's list; those that it lacks are unknown."""
        ranked = tuple(each for each in self._list_for(user_id) if each.item_id in item_ids)
        known = {each.item_id for each in ranked}
        unknown = tuple(item_id for item_id in item_ids if item_id not in known)
        return Ranking(f"fake-{user_id}", None, "popular", ranked, (), unknown)

    def chart(self, chart: str, **page: Any) -> Chart:
        """All items in the order in which they were stored, for every chart."""
        ranked = enumerate(self._memory.items.values(), 1)
        return Chart(chart, None, *_page([ChartItem(each.item_id, each.title, rank) for rank, each in ranked], **page))

    def snapshots(self) -> Snapshots:
        return Snapshots(())

    def livez(self) -> Health:
        return Health("ok")

    def readyz(self) -> Readiness:
        return Readiness("ready", None)

    def _list_for(self, user_id: str) -> list[RecommendedItem]:
        if user_id in self._memory.recommendations:
            return self._memory.recommendations[user_id]
        return [RecommendedItem(each.item_id, each.title, 0.0) for each in self._memory.items.values()]


def _stored(kind: type[T], body: Mapping[str, Any], **given: Any) -> T:
    """A `kind` of a request's body; what the body leaves out is None."""
    # Bodies are sent without the fields that are None, and answers have all fields.
    empty = dict.fromkeys(each.name for each in fields(kind))  # type: ignore[arg-type]  # only for dataclasses
    return msgspec.convert({**empty, **body, **given}, kind)


def _patched(entry: T, empty: Mapping[str, Any], changes: Mapping[str, Any]) -> T:
    """The item or user after a merge patch: None takes the value of `empty`, or removes an attribute."""
    cleared = {name: empty[name] if value is None else value for name, value in changes.items()}
    if changes.get("attributes"):
        merged = {**msgspec.to_builtins(entry)["attributes"], **changes["attributes"]}
        cleared["attributes"] = {name: value for name, value in merged.items() if value is not None}
    return msgspec.convert({**msgspec.to_builtins(entry), **cleared}, type(entry))


def _page(
    entries: Sequence[T], limit: Any = 100, cursor: str = "0", **_options: Any
) -> tuple[tuple[T, ...], str | None]:
    """The entries from the `cursor` on, which is the number of those before, and the next cursor."""
    start, end = int(cursor), int(cursor) + int(limit)
    return tuple(entries[start:end]), str(end) if end < len(entries) else None


def _get(entries: Mapping[str, T], kind: str, identifier: str) -> T:
    if identifier not in entries:
        text = f"there is no {kind} {identifier!r}"
        raise NotFoundError(Problem(PREFIX + "not-found", "There is no such thing", 404, text))
    return entries[identifier]


def _pattern(route: Route) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path))


def _without_nan(value: Any) -> Any:
    """JSON without scores of NaN: the service leaves out what `fields` does not name, and JSON knows no NaN."""
    if isinstance(value, dict):
        return {name: _without_nan(each) for name, each in value.items() if each == each}  # noqa: PLR0124  only NaN is not
    return [_without_nan(each) for each in value] if isinstance(value, list | tuple) else value
