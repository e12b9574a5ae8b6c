"""Whatever users do and take back, trends are what a count of the stored ratings and events gives."""

import math
from collections import defaultdict
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from app.entities import User, to_microseconds
from app.errors import NotFoundError
from app.store import Store, counters
from app.store.schema import deleted_events, trends
from app.store.signals import DAY
from app.store.trends import HALF_LIFE, JUDGED, LANDMARK, NEW
from tests.support.events import happened
from tests.support.ratings import incoming
from tests.support.runs import claimed, judge_all

pytestmark = pytest.mark.slow

USERS, ITEMS = ("ann", "bob", "cy"), ("x", "y")
START = LANDMARK + 700 * HALF_LIFE

users, items = st.sampled_from(USERS), st.sampled_from(ITEMS)
times = st.sampled_from([0, 1, DAY, 5 * HALF_LIFE, 40 * HALF_LIFE]).map(lambda after: START + after)
ratings = st.tuples(users, items, st.sampled_from([1, 4, 5]), times | st.none())
events = st.tuples(
    st.sampled_from([f"e{n}" for n in range(6)]),
    st.sampled_from(["clicked", "watched", "disliked", "shown"]),
    users,
    items,
    times,
    st.sampled_from([None, 0.0, 0.5]),
)
operations = st.one_of(
    st.tuples(st.just("rate"), st.lists(ratings, min_size=1, max_size=4)),
    st.tuples(st.just("happen"), st.lists(events, min_size=1, max_size=4)),
    st.tuples(st.just("unrate"), users, items, times),
    st.tuples(st.just("take back"), st.sampled_from([f"e{n}" for n in range(6)])),
    st.tuples(st.just("delete user"), users),
    st.tuples(st.just("delete item"), items),
    st.tuples(st.just("merge"), users, users),
    st.tuples(st.just("move"), users, st.sampled_from([None, "FI", "SE"])),
    st.tuples(st.just("quarantine"), st.sets(users)),
    st.tuples(st.just("release"), users),
    st.tuples(st.just("judge"), st.sets(users)),
)


def counted(store: Store) -> dict[tuple[str, str], float]:
    """log2 of the sums, by name and item, term by term from what is stored."""
    country = {user.user_id: user.country for user in store.users.stream()}
    weights = {each.name: each.weight for each in store.events.types().values()}
    signals = [
        (
            event.user_id,
            event.item_id,
            to_microseconds(event.at),
            weights[event.type] * (1 if event.portion is None else event.portion),
        )
        for event in store.events.stream()
    ]
    for chunk in store.ratings.stream():
        for user, item, value, at in zip(
            chunk.user_id, chunk.item_id, chunk.value, chunk.rated_at.tolist(), strict=True
        ):
            if value >= 4 and at > 0:
                signals.append((user, item, at, 1.0))
    held = {each.user_id for each in store.quarantine.entries(9) if each.released_at is None}
    data = store.training_reads.load()
    new = {key for key, is_new in zip(data.user_keys.tolist(), data.is_new.tolist(), strict=True) if is_new}
    keys, are_judged = user_keys(store), highest_judged(store) > 0
    strongest: dict[tuple[str, str, int], float] = defaultdict(float)
    for user, item, at, weight in signals:
        term = weight * 2 ** ((at - START) / HALF_LIFE)
        strongest[user, item, at // DAY] = max(strongest[user, item, at // DAY], term)
    sums: dict[tuple[str, str], list[float]] = defaultdict(list)
    for (user, item, _), term in strongest.items():
        if term > 0:
            if user in held:
                continue
            for place in {"", country[user] or ""}:
                sums[place, item].append(term)
                if are_judged and keys[user] in new:
                    sums[NEW + place, item].append(term)
    return {place: 700 + math.log2(math.fsum(terms)) for place, terms in sums.items()}


def highest_judged(store: Store) -> int:
    with store.database.reading() as connection:
        return counters.read(connection, JUDGED)


def user_keys(store: Store) -> dict[str, int]:
    names = store.users.ids_of(store.training_reads.load().user_keys.tolist())
    return {user_id: key for key, user_id in names.items()}


def stored(store: Store) -> dict[tuple[str, str], float]:
    with store.database.reading() as connection:
        rows = connection.execute(sa.select(trends)).all()
    names = store.items.ids_of([row.item_key for row in rows])
    return {(row.country, names[row.item_key]): row.heat for row in rows}


def apply(store: Store, operation: tuple[Any, ...]) -> None:
    match operation:
        case "rate", rows:
            store.ratings.record(incoming(*rows))
        case "happen", rows:
            store.events.record(happened(*rows))
        case "unrate", user, item, at:
            store.ratings.remove(user, item, at=at)
        case "take back", event_id:
            store.events.delete(event_id, at=START)
        case "delete user", user:
            store.users.delete(user)
        case "delete item", item:
            store.items.delete(item)
        case "merge", user, guest if user != guest:
            with suppress(NotFoundError):
                store.users.merge(user, guest)
        case "move", user, country:
            store.users.record([User(user, country=country)])
        case _:
            judge(store, operation)


def judge(store: Store, operation: tuple[Any, ...]) -> None:
    match operation:
        case "quarantine", held:
            keys = np.array([key for user, key in user_keys(store).items() if user in held], np.int64)
            store.quarantine.replace(claimed(store, lease_seconds=0.0), keys, np.ones(len(keys), np.int64))
        case "release", user:
            with suppress(NotFoundError):
                store.quarantine.release(user)
        case "judge", but:
            judge_all(store, but=but)


@settings(max_examples=15)
@given(st.lists(operations, max_size=12))
def test_as_counted_anew(store: Store, done: list[tuple[Any, ...]]) -> None:
    for user in USERS:
        store.users.delete(user)
    with store.database.writing() as connection:
        connection.execute(sa.delete(deleted_events))
    for operation in done:
        apply(store, operation)
        expected = counted(store)
        found = stored(store)
        assert found.keys() == expected.keys()
        assert all(math.isclose(found[place], expected[place], abs_tol=1e-6) for place in expected)
