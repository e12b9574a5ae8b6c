"""Events in memory, by the service's own rules."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ..batches import RowOutcome
from ..errors import PREFIX, ConflictError, Problem, ProblemError, invalid
from ..operations.events import EventsOutcome, EventsPage, EventType, EventTypes, StoredEvent
from ..operations.users import Merged, User
from .memory import Memory
from .paging import found, page_of

MAX_AHEAD = timedelta(minutes=5)


class EventAnswers:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def send_event_batch(self, events: list[dict[str, Any]]) -> EventsOutcome:
        results = tuple(self._judge(index, row) for index, row in enumerate(events))
        statuses = [result.status for result in results]
        counts = {name: statuses.count(name) for name in ("stored", "unchanged", "rejected")}
        return EventsOutcome(**counts, results=results)

    def events(self, user_id: str, limit: int = 100, cursor: str | None = None) -> EventsPage:
        found(self._memory.users, "user", user_id)
        own = sorted(self._memory.events_of(user_id), key=lambda event: (event.at, event.event_id), reverse=True)
        return EventsPage(*page_of({event.event_id: event for event in own}, limit, cursor))

    def event_types(self) -> EventTypes:
        return EventTypes(tuple(self._memory.event_types.values()))

    def put_event_type(
        self, name: str, weight: float, *, is_exposure: bool = False, is_consumption: bool = False
    ) -> EventType:
        self._memory.event_types[name] = EventType(name, float(weight), is_exposure, is_consumption)
        return self._memory.event_types[name]

    def delete_event_type(self, name: str) -> None:
        if any(event.type == name for _, event in self._memory.events.values()):
            text = f"there are events of type {name!r}, so it cannot be deleted"
            raise ConflictError(Problem(PREFIX + "conflict", "The request contradicts what is stored", 409, text))
        self._memory.event_types.pop(name, None)

    def merge_guest(self, user_id: str, guest_id: str) -> Merged:
        """The newer of two ratings; all events; of the attributes, what the user lacks."""
        if user_id == guest_id:
            raise invalid("path.guest_id", "a user cannot be merged with itself")
        guest = found(self._memory.users, "user", guest_id)
        user = self._memory.users.get(user_id, User(user_id, None, {}))
        ratings = [each for (rater, _), each in self._memory.ratings.items() if rater == guest_id]
        newer = [rating for rating in ratings if self._memory.is_newer(replace(rating, user_id=user_id))]
        for rating in newer:
            self._memory.ratings[user_id, rating.item_id] = replace(rating, user_id=user_id)
        moved = {
            event_id: (user_id, event) for event_id, (owner, event) in self._memory.events.items() if owner == guest_id
        }
        self._memory.events.update(moved)
        attributes = {**guest.attributes, **user.attributes}
        self._memory.users[user_id] = User(user_id, user.country or guest.country, attributes)
        del self._memory.users[guest_id]
        self._memory.forget(user_id=guest_id)
        return Merged(self._memory.users[user_id], len(newer), len(moved))

    def _judge(self, index: int, row: dict[str, Any]) -> RowOutcome:
        try:
            return RowOutcome(index, self._record(**row))
        except ProblemError as error:
            return RowOutcome(index, "rejected", error.detail)

    def _record(
        self,
        event_id: str,
        type: str,  # noqa: A002  the service's own name
        user_id: str,
        item_id: str,
        at: str | None = None,
        portion: float | None = None,
        recommendation_id: str | None = None,
    ) -> str:
        now = datetime.now(UTC)
        moment = now if at is None else datetime.fromisoformat(at)
        if type not in self._memory.event_types:
            declared = ", ".join(self._memory.event_types)
            raise invalid("type", f"there is no event type {type!r}; declared are: {declared}")
        if portion is not None and not self._memory.event_types[type].is_consumption:
            raise invalid("portion", f"a {type!r} has no portion: its type is no consumption")
        if portion is not None and not 0 <= portion <= 1:
            raise invalid("portion", "portion: lies between 0 and 1")
        if moment - now > MAX_AHEAD:
            raise invalid("at", "at is more than 5 minutes ahead of the server's clock")
        if event_id in self._memory.events:
            return "unchanged"
        self._memory.add_user(user_id)
        self._memory.add_item(item_id)
        placement = None if recommendation_id is None else "home"
        event = StoredEvent(event_id, type, item_id, moment, portion, placement, None)
        self._memory.events[event_id] = (user_id, event)
        return "stored"
