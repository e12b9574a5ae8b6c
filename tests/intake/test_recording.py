"""Ratings and events of requests: the five-minute rule, and an outcome for every row of a batch."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from app.entities import Rating, RatingScale, from_microseconds, to_microseconds
from app.errors import InvalidInputError
from app.intake.recording import EventRecorder, RatingRecorder, ReceivedEvent
from app.store import Store

NOW = datetime.now(UTC)
FAR_AHEAD = NOW + timedelta(hours=1)
A_LITTLE_AHEAD = NOW + timedelta(minutes=4)


@dataclass(frozen=True)
class FixedOrigin:
    owner: bytes = b""
    snapshot_version: int | None = 3
    placement: str = "home"


class FixedRecommendations:
    """Every recommendation id stands for the same recommendation; the owner is the user's id."""

    def __init__(self, origin: FixedOrigin) -> None:
        self.origin = origin

    def read_recommendation_id(self, _text: str) -> FixedOrigin:
        return self.origin

    def owner(self, user_id: str | None) -> bytes:
        return (user_id or "").encode()


NO_ORIGIN = FixedOrigin()


def event(event_id: str, user_id: str = "ann", recommendation_id: str | None = None, **fields: object) -> ReceivedEvent:
    given = {"type": "clicked", "item_id": "x", "at": None, "portion": None} | fields
    return ReceivedEvent(event_id=event_id, user_id=user_id, recommendation_id=recommendation_id, **given)  # type: ignore[arg-type]  # of a test


def statuses(store: Store, rows: Sequence[ReceivedEvent | str], origin: FixedOrigin = NO_ORIGIN) -> list[str]:
    recorder = EventRecorder(store, FixedRecommendations(origin))
    return [f"{each.status} {each.problem or ''}".strip() for each in recorder.record_batch(rows)]


def test_clock_of_the_host_set_back(store: Store) -> None:
    """A true time is taken where the database has a clock of its own; one that is ahead of both is refused."""
    an_hour = 3_600_000_000

    def clock() -> int:
        return to_microseconds(datetime.now(UTC)) - an_hour

    ratings, events = RatingRecorder(store, clock), EventRecorder(store, FixedRecommendations(NO_ORIGIN), clock)
    rows = [Rating("ann", "x", 4.0, NOW), Rating("ann", "y", 4.0, FAR_AHEAD)]
    taken = "stored" if store.database.dialect.has_own_clock else "rejected"
    assert [each.status for each in asyncio.run(ratings.record_batch(rows))] == [taken, "rejected"]
    happened = [event("1", at=NOW), event("2", at=FAR_AHEAD)]
    assert [each.status for each in events.record_batch(happened)] == [taken, "rejected"]
    if taken == "rejected":
        with pytest.raises(InvalidInputError, match="5 minutes"):
            asyncio.run(ratings.record(Rating("ann", "z", 4.0, NOW), "body"))
    else:
        stored = asyncio.run(ratings.record(Rating("ann", "z", 4.0, NOW), "body"))
        assert stored.rated_at == from_microseconds(to_microseconds(NOW))


def test_rating_ahead_of_the_clock(store: Store) -> None:
    recorder = RatingRecorder(store)
    stored = asyncio.run(recorder.record(Rating("ann", "x", 4.0, A_LITTLE_AHEAD), "body"))
    assert (stored.status, stored.value) == ("stored", 4.0)
    with pytest.raises(InvalidInputError, match="5 minutes") as raised:
        asyncio.run(recorder.record(Rating("ann", "x", 4.0, FAR_AHEAD), "body"))
    assert raised.value.field == "body.rated_at"


def test_device_with_a_fast_clock(store: Store) -> None:
    """Its opinion counts as of its arrival: the newest opinion received is the one that is stored."""
    clock = Clock()
    recorder = RatingRecorder(store, clock)

    def rate(value: float, rated_at: datetime | None = None) -> tuple[str, float | None]:
        clock.tick()
        outcome = asyncio.run(recorder.record(Rating("ann", "x", value, rated_at), "body"))
        return outcome.status, outcome.value

    arrived = clock.now
    ahead = from_microseconds(arrived) + timedelta(minutes=4)
    assert rate(5, ahead) == ("stored", 5)
    assert rate(5, ahead) == ("unchanged", 5)  # a retry
    assert rate(1) == ("replaced", 1)
    assert rate(5, from_microseconds(arrived)) == ("unchanged", 1)  # older than what was received since
    assert rate(2, from_microseconds(clock.now)) == ("replaced", 2)
    assert rate(3, ahead) == ("replaced", 3)
    recorder.remove("ann", "x")
    assert rate(4) == ("stored", 4)


def test_order_ahead_of_the_clock(store: Store) -> None:
    """Times ahead of the clock keep their order in a batch; a row without a time is newer than those before it."""
    clock = Clock()
    recorder = RatingRecorder(store, clock)
    later, soon = (from_microseconds(clock.now) + timedelta(minutes=n) for n in (4, 2))
    rows = [Rating("ann", "x", 5.0, later), Rating("ann", "x", 4.0, soon), Rating("ann", "y", 3.0, soon)]
    outcomes = asyncio.run(recorder.record_batch([*rows, Rating("bob", "x", 2.0, later), Rating("bob", "x", 1.0)]))
    assert [each.status for each in outcomes] == ["replaced", "stored", "stored", "stored", "replaced"]
    assert {each.item_id: each.value for _, each in store.ratings.page("ann")} == {"x": 5.0, "y": 3.0}


def test_clock_set_back(store: Store) -> None:
    """By an hour, after a rating and after its deletion."""
    clock = Clock()
    recorder = RatingRecorder(store, clock)
    asyncio.run(recorder.record(Rating("ann", "x", 5.0), "body"))
    clock.now -= 3_600_000_000
    assert asyncio.run(recorder.record(Rating("ann", "x", 1.0), "body")).value == 1
    recorder.remove("ann", "x")
    assert store.ratings.count() == 0
    assert asyncio.run(recorder.record(Rating("ann", "x", 2.0), "body")).status == "stored"


def test_event_ahead_of_the_clock(store: Store) -> None:
    clock = Clock()
    recorder = EventRecorder(store, FixedRecommendations(NO_ORIGIN), clock)
    recorder.record_batch([event("e1", at=from_microseconds(clock.now) + timedelta(minutes=4))])
    (stored,) = store.events.page(limit=10)
    assert stored.at == from_microseconds(clock.now)


class Clock:
    """Microseconds UTC, from the time of the tests on."""

    def __init__(self) -> None:
        self.now = to_microseconds(NOW)

    def __call__(self) -> int:
        return self.now

    def tick(self) -> None:
        self.now += 1_000_000


def test_values_of_a_kind(store: Store) -> None:
    """Pairs store 1 for any value above 0; amounts may be larger than any before, and never negative."""
    recorder = RatingRecorder(store)
    store.instance.set_scale(RatingScale.parse("pairs"))
    assert asyncio.run(recorder.record(Rating("ann", "x", 3.5), "body")).value == 1.0
    with pytest.raises(InvalidInputError, match="this service stores pairs"):
        asyncio.run(recorder.record(Rating("ann", "y", 0.0), "body"))
    store.instance.set_scale(RatingScale.parse("amounts"))
    assert asyncio.run(recorder.record(Rating("ann", "x", 352_698.0), "body")).value == 352_698.0
    outcomes = asyncio.run(recorder.record_batch([Rating("ann", "z", 0.0), Rating("ann", "y", -1.0)]))
    assert [each.status for each in outcomes] == ["stored", "rejected"]
    assert outcomes[1].problem == "-1.0 is not an amount: amounts are numbers from 0 to 9.01e+15"


def test_rating_older_than_its_deletion(store: Store) -> None:
    recorder = RatingRecorder(store)
    recorder.remove("ann", "x")
    asyncio.run(recorder.record(Rating("ann", "x", 4.0), "body"))
    recorder.remove("ann", "x")
    late = asyncio.run(recorder.record(Rating("ann", "x", 2.0, NOW - timedelta(days=1)), "body"))
    assert (late.status, late.value) == ("unchanged", None)


def test_batch_of_ratings(store: Store) -> None:
    rows: list[Rating | str] = [
        Rating("ann", "x", 4.0),
        "not read",
        Rating("ann", "x", 3.0),
        Rating("ann", "y", 9.0),
        Rating("b", "x", 1.0),
    ]
    outcomes = asyncio.run(RatingRecorder(store).record_batch(rows))
    assert [each.status for each in outcomes] == ["stored", "rejected", "replaced", "rejected", "stored"]
    assert [each.index for each in outcomes] == [0, 1, 2, 3, 4]
    assert (outcomes[1].problem, outcomes[3].problem) == ("not read", "9.0 is not on the rating scale 1:5")
    assert asyncio.run(RatingRecorder(store).record_batch(["not read"]))[0].status == "rejected"


def test_batch_of_events(store: Store) -> None:
    rows: list[ReceivedEvent | str] = [
        event("1"),
        "not read",
        event("1"),
        event("2", type="unheard"),
        event("3", at=FAR_AHEAD),
        event("4", portion=0.5),
    ]
    first, unread, again, unheard, ahead, portion = statuses(store, rows)
    assert (first, unread, again) == ("stored", "rejected not read", "unchanged")
    assert "there is no event type 'unheard'" in unheard
    assert "5 minutes ahead" in ahead
    assert "has no portion" in portion


def test_recommendation_of_another_user(store: Store) -> None:
    rows = [event("1", "ann", "r"), event("2", "bob", "r"), event("3", "bob")]
    own, foreign, without = statuses(store, rows, FixedOrigin(b"ann"))
    assert (own, without) == ("stored", "stored")
    assert "another user" in foreign
    assert [each.placement for each in store.events.page("ann", before=None, limit=9)] == ["home"]
    assert statuses(store, [event("4", "bob", "r")], NO_ORIGIN) == ["stored"]
