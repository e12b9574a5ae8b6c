"""Ratings and events that arrive in requests or messages: checked row by row, then stored together.

A batch is a list of rows, each a value or the reason for which it could not be read. Every row gets an outcome: one bad
row does not keep the others from being stored.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.entities import (
    UNKNOWN_TIME,
    EventType,
    IncomingEvents,
    IncomingRatings,
    Rating,
    RatingScale,
    from_microseconds,
    to_microseconds,
)
from app.errors import InvalidInputError
from app.intake.ratings import FUTURE_TOLERANCE_MICROSECONDS, UNKNOWN_ITEM_FAULT
from app.store import REPLACED, STORED, UNCHANGED, UNKNOWN_ITEM, Recorded, Store
from app.store.kept_answers import Keep

SERVER_CLOCK = "the server's clock"
SENDING_TIME = "the time at which it was sent"
FOREIGN_RECOMMENDATION_FAULT = "this recommendation_id was made for another user"

Status = Literal["stored", "replaced", "unchanged", "rejected"]
STATUS_NAMES: dict[int, Status] = {STORED: "stored", REPLACED: "replaced", UNCHANGED: "unchanged"}


@dataclass(slots=True)
class RowOutcome:
    """What became of one row of a batch; `problem` says why it was rejected."""

    index: int
    status: Status
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class StoredRating:
    """What is stored after a write; `value` is None where a deletion is newer than the rating that was written."""

    user_id: str
    item_id: str
    value: float | None
    rated_at: datetime | None
    status: Status


def microseconds_now() -> int:
    """The clock of this host, microseconds UTC."""
    return time.time_ns() // 1_000


class RatingRecorder:
    """Stores ratings; the newest `rated_at` of a user for an item wins.

    With `keep`, the answer to the request is kept in the same transaction. Raises `AlreadyAnsweredError` if its key is
    taken.

    `clock`: microseconds UTC, read once a request. A `rated_at` ahead of it comes from a device whose clock is fast. It
    counts as the time of arrival: otherwise it would win over every opinion that is received until then. Before one is
    refused as more than 5 minutes ahead, it is compared with the clock of the database, where that has its own.
    """

    def __init__(self, store: Store, clock: Callable[[], int] = microseconds_now) -> None:
        self._store = store
        self._clock = clock

    async def record(self, rating: Rating, field: str, keep: Keep[StoredRating] | None = None) -> StoredRating:
        """Stores one rating. `field` names the part of the input that holds it.

        Raises `InvalidInputError` for a value off the scale, for a time more than 5 minutes ahead of the clock, and for
        an unknown item where the store rejects those.
        """
        now = await self._now([rating])
        rating = _checked_rating(rating, await self._store.reads.scale(), now, field)

        def outcome(recorded: Recorded) -> StoredRating | None:
            return None if recorded.status[0] == UNKNOWN_ITEM else _stored(rating, recorded)

        columns, _ = _rating_columns([rating], now)
        recorded = await self._store.group_commit.record(
            columns, untimed_at=now, keep=None if keep is None else keep.of(outcome)
        )
        stored = outcome(recorded)
        if stored is None:
            raise InvalidInputError(UNKNOWN_ITEM_FAULT, field=f"{field}.item_id")
        return stored

    async def record_batch(
        self, rows: Sequence[Rating | str], keep: Keep[list[RowOutcome]] | None = None
    ) -> list[RowOutcome]:
        """Stores the good rows in order, in one transaction."""
        now = await self._now([row for row in rows if isinstance(row, Rating)])
        scale = await self._store.reads.scale()
        checked = [row if isinstance(row, str) else _rating_or_fault(row, scale, now) for row in rows]
        good = [row for row in checked if isinstance(row, Rating)]

        columns, order = _rating_columns(good, now)

        def outcomes(recorded: Recorded) -> list[RowOutcome]:
            return _outcomes(checked, iter(recorded.status[np.argsort(order)].tolist()))

        # Without rows there is nothing to store but the answer.
        if not good and keep is None:
            return _outcomes(checked, iter(()))
        return outcomes(
            await self._store.group_commit.record(
                columns, untimed_at=now, keep=None if keep is None else keep.of(outcomes)
            )
        )

    def record_sent(self, rows: Sequence[Rating | str], sent_at: Sequence[int]) -> list[RowOutcome]:
        """As `record_batch`, for threads, where `sent_at` of each row, microseconds UTC, takes the place of the clock.

        A rating without a time, or with one after it was sent, has the time at which it was sent. So its time depends
        on nothing but the row, and a row that comes again changes nothing.
        """
        scale = self._store.instance.scale()
        checked = [
            row if isinstance(row, str) else _sent_or_fault(row, scale, at)
            for row, at in zip(rows, sent_at, strict=True)
        ]
        good = [row for row in checked if isinstance(row, Rating)]
        if not good:
            return _outcomes(checked, iter(()))
        latest = max(sent_at)  # none is ahead of it, so that all keep their times and their order
        columns, _ = _rating_columns(good, latest)
        recorded = self._store.ratings.record(columns, untimed_at=np.full(len(good), latest))
        return _outcomes(checked, iter(recorded.status.tolist()))

    async def _now(self, ratings: Iterable[Rating]) -> int:
        """The time with which these ratings are compared."""
        now = self._clock()
        if any(each.rated_at is not None and is_ahead(to_microseconds(each.rated_at), now) for each in ratings):
            return await asyncio.to_thread(_later_clock, self._store, now)
        return now

    def remove(self, user_id: str, item_id: str) -> None:
        """Deletes the rating as of now, so that a later replay of it changes nothing."""
        self._store.ratings.remove(user_id, item_id, at=self._clock())


@dataclass(slots=True)
class ReceivedEvent:
    """An event as the caller sends it; `at` None: it happened now."""

    event_id: str
    type: str
    user_id: str
    item_id: str
    at: datetime | None
    portion: float | None
    recommendation_id: str | None
    placement: str | None = None
    position: int | None = None


class Origin(Protocol):
    """The recommendation that led to an event; `owner`: for whom it was made, see `RecommendationIds`."""

    @property
    def owner(self) -> bytes: ...
    @property
    def snapshot_version(self) -> int | None: ...
    @property
    def placement(self) -> str: ...


class RecommendationIds(Protocol):
    """Reads recommendation ids, and identifies the users for whom they were made; None: a guest without an id."""

    def read_recommendation_id(self, text: str) -> Origin:
        """Raises `InvalidInputError` for an id that is not genuine."""

    def owner(self, user_id: str | None) -> bytes: ...


@dataclass(slots=True)
class CheckedEvent:
    """An event that may be stored; `at` in microseconds UTC."""

    event: ReceivedEvent
    at: int
    origin: Origin | None

    @property
    def placement(self) -> str | None:
        return self.event.placement if self.origin is None else self.origin.placement


class EventRecorder:
    """Stores events once by id.

    `clock`: microseconds UTC, read once a request. An `at` ahead of it counts as the time of arrival; one more than 5
    minutes ahead is compared with the clock of the database, as that of a rating.
    """

    def __init__(
        self, store: Store, recommendations: RecommendationIds, clock: Callable[[], int] = microseconds_now
    ) -> None:
        self._store = store
        self._recommendations = recommendations
        self._clock = clock

    def record_batch(self, rows: Sequence[ReceivedEvent | str]) -> list[RowOutcome]:
        """Stores the good rows in one transaction."""
        now = self._clock()
        if any(
            not isinstance(row, str) and row.at is not None and is_ahead(to_microseconds(row.at), now) for row in rows
        ):
            now = _later_clock(self._store, now)
        return self._record(rows, [now] * len(rows), SERVER_CLOCK)

    def record_sent(self, rows: Sequence[ReceivedEvent | str], sent_at: Sequence[int]) -> list[RowOutcome]:
        """As `record_batch`, where `sent_at` of each row, microseconds UTC, takes the place of the clock."""
        return self._record(rows, sent_at, SENDING_TIME)

    def _record(self, rows: Sequence[ReceivedEvent | str], times: Sequence[int], clock: str) -> list[RowOutcome]:
        types = {each.name: each for each in self._store.events.types().values()}
        checked = [
            row if isinstance(row, str) else self._event_or_fault(row, types, now, clock)
            for row, now in zip(rows, times, strict=True)
        ]
        checked = self._own_recommendations_only(checked)
        good = [row for row in checked if isinstance(row, CheckedEvent)]
        statuses = self._store.events.record(_event_columns(good), is_direct=True).tolist() if good else []
        return _outcomes(checked, iter(statuses))

    def remove(self, event_id: str) -> None:
        """Deletes the event as of now, so that a later replay of it changes nothing."""
        self._store.events.delete(event_id, at=self._clock())

    def _event_or_fault(
        self, event: ReceivedEvent, types: Mapping[str, EventType], now: int, clock: str
    ) -> CheckedEvent | str:
        at = now if event.at is None else to_microseconds(event.at)
        try:
            _check_event(event, at, types, now, clock)
            named = event.recommendation_id
            origin = None if named is None else self._recommendations.read_recommendation_id(named)
            _check_origin(event, origin)
            return CheckedEvent(event, min(at, now), origin)
        except InvalidInputError as error:
            return error.detail

    def _own_recommendations_only(self, rows: Sequence[CheckedEvent | str]) -> list[CheckedEvent | str]:
        """Rejects events that name a recommendation made for another user.

        A recommendation for a guest without an id may be named by any user. A guest who was merged into a user is that
        user: each may name the recommendations of the other.
        """
        owner_of = self._recommendations.owner
        named = [
            (row.event.user_id, row.origin.owner)
            for row in rows
            if isinstance(row, CheckedEvent) and row.origin is not None
        ]
        owners = {user_id: {owner_of(None), owner_of(user_id)} for user_id, _ in named}
        # Nearly all events name a recommendation of their own user, and need no query.
        doubtful = {user_id for user_id, owner in named if owner not in owners[user_id]}
        if doubtful:
            for user_id, ids in self._store.users.aliases(doubtful).items():
                owners[user_id].update(map(owner_of, ids))
        return [FOREIGN_RECOMMENDATION_FAULT if _is_foreign(row, owners) else row for row in rows]


def is_ahead(at: int, now: int) -> bool:
    """Whether a time is more than 5 minutes later than another, microseconds UTC."""
    # Clocks of callers differ; a time far ahead would win over every later rating.
    return at - now > FUTURE_TOLERANCE_MICROSECONDS


def _later_clock(store: Store, now: int) -> int:
    """The later one of `now` and the clock that all hosts share: that of this host may be slow, or was set back."""
    shared = store.shared_clock()
    return now if shared is None else max(now, shared)


def _outcomes(rows: Sequence[object], statuses: Iterator[int]) -> list[RowOutcome]:
    """`statuses`: of the rows that the store was given, in their order."""
    return [
        RowOutcome(index, "rejected", row) if isinstance(row, str) else _outcome(index, next(statuses))
        for index, row in enumerate(rows)
    ]


def _outcome(index: int, status: int) -> RowOutcome:
    if status == UNKNOWN_ITEM:
        return RowOutcome(index, "rejected", f"item_id: {UNKNOWN_ITEM_FAULT}")
    return RowOutcome(index, STATUS_NAMES[status])


def _checked_rating(rating: Rating, scale: RatingScale, now: int, field: str, clock: str = SERVER_CLOCK) -> Rating:
    """The rating as it is stored: a pair has the value 1. Raises `InvalidInputError`. `clock`: what `now` is."""
    value = scale.check(rating.value, f"{field}.value")
    if rating.rated_at is not None and is_ahead(to_microseconds(rating.rated_at), now):
        message = f"rated_at is more than 5 minutes ahead of {clock}"
        raise InvalidInputError(message, field=f"{field}.rated_at")
    return rating if value == rating.value else replace(rating, value=value)


def _rating_or_fault(rating: Rating, scale: RatingScale, now: int, clock: str = SERVER_CLOCK) -> Rating | str:
    try:
        return _checked_rating(rating, scale, now, "row", clock)
    except InvalidInputError as error:
        return error.detail


def _sent_or_fault(rating: Rating, scale: RatingScale, sent_at: int) -> Rating | str:
    checked = _rating_or_fault(rating, scale, sent_at, SENDING_TIME)
    if isinstance(checked, str) or (checked.rated_at is not None and to_microseconds(checked.rated_at) <= sent_at):
        return checked
    return replace(checked, rated_at=from_microseconds(sent_at))


def _rating_columns(ratings: Sequence[Rating], now: int) -> tuple[IncomingRatings, NDArray[np.intp]]:
    """The n ratings in the order in which they are stored, and the (n,) places among `ratings` that they come from.

    That is the order of arrival, but those ahead of `now`, which lose their times, are put in the order of these.
    """
    given = [UNKNOWN_TIME if each.rated_at is None else to_microseconds(each.rated_at) for each in ratings]
    times, order = np.array(given, dtype=np.int64), np.arange(len(given))
    ahead = np.flatnonzero(times > now)
    order[ahead] = ahead[np.argsort(times[ahead], kind="stable")]
    times[ahead] = UNKNOWN_TIME
    ordered = [ratings[place] for place in order.tolist()]
    columns = IncomingRatings(
        [rating.user_id for rating in ordered],
        [rating.item_id for rating in ordered],
        np.array([rating.value for rating in ordered], dtype=np.float64),
        times[order],
    )
    return columns, order


def _stored(rating: Rating, recorded: Recorded) -> StoredRating:
    value, rated_at = float(recorded.value[0]), int(recorded.rated_at[0])
    return StoredRating(
        rating.user_id,
        rating.item_id,
        None if np.isnan(value) else value,
        None if rated_at == UNKNOWN_TIME else from_microseconds(rated_at),
        STATUS_NAMES[int(recorded.status[0])],
    )


def _check_event(event: ReceivedEvent, at: int, types: Mapping[str, EventType], now: int, clock: str) -> None:
    declared = types.get(event.type)
    if declared is None:
        raise InvalidInputError(f"there is no event type {event.type!r}; declared are: {', '.join(types)}")
    if event.portion is not None and not declared.is_consumption:
        raise InvalidInputError(f"a {event.type!r} has no portion: its type is no consumption")
    if is_ahead(at, now):
        raise InvalidInputError(f"at is more than 5 minutes ahead of {clock}")


def _check_origin(event: ReceivedEvent, origin: Origin | None) -> None:
    if origin is not None and event.placement not in {None, origin.placement}:
        raise InvalidInputError(
            f"placement: the recommendation_id is of a list for {origin.placement!r}, not for {event.placement!r}"
        )
    # A place without a list could not be compared with any other.
    if event.position is not None and origin is None and event.placement is None:
        raise InvalidInputError("position: it needs the recommendation_id or the placement of the list")


def _is_foreign(row: CheckedEvent | str, owners: Mapping[str, set[bytes]]) -> bool:
    """`owners`: by user id, those whose recommendations the user may name."""
    if isinstance(row, str) or row.origin is None:
        return False
    return row.origin.owner not in owners[row.event.user_id]


def _event_columns(rows: Sequence[CheckedEvent]) -> IncomingEvents:
    return IncomingEvents(
        event_id=[row.event.event_id for row in rows],
        type=[row.event.type for row in rows],
        user_id=[row.event.user_id for row in rows],
        item_id=[row.event.item_id for row in rows],
        at=np.array([row.at for row in rows], dtype=np.int64),
        portion=np.array([row.event.portion for row in rows], dtype=np.float64),  # None becomes NaN
        placement=[row.placement for row in rows],
        snapshot_version=[None if row.origin is None else row.origin.snapshot_version for row in rows],
        position=[row.event.position for row in rows],
    )
