"""What a guest did amounts to what the store keeps of a user who did the same."""

import asyncio
import itertools
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.serving.catalogue import Catalogue
from app.serving.guests import GuestEvent, interactions_of
from app.serving.interactions import VIEWED, EventTypeIndex, UserInteractions
from app.serving.rows import NO_ROWS
from app.store import Store
from tests.support.events import happened

numbers = itertools.count()
TYPES = ("shown", "clicked", "disliked", "watched")

events_of_one = st.lists(
    st.tuples(
        st.sampled_from(TYPES), st.sampled_from("abc"), st.integers(0, 9), st.none() | st.sampled_from((0.0, 0.5, 1.0))
    ),
    min_size=1,
    max_size=12,
)


def sums(made: UserInteractions) -> list[tuple[Any, ...]]:
    stored = made.interactions
    columns = (stored.item_key, stored.type_key, stored.count, stored.first_at, stored.last_at)
    portions = [None if np.isnan(each) else each for each in stored.portion]
    return sorted(zip(*(column.tolist() for column in columns), made.rows.tolist(), portions, strict=True))


@settings(max_examples=15)
@given(events=events_of_one)
def test_as_the_store_sums_them(store: Store, events: list[tuple[str, str, int, float | None]]) -> None:
    user_id = f"user-{next(numbers)}"
    store.events.record(
        happened(
            *((f"{user_id}-{n}", kind, user_id, item, at, part) for n, (kind, item, at, part) in enumerate(events))
        )
    )
    types = EventTypeIndex(store.events.types())
    catalogue = Catalogue(store.items, NO_ROWS)
    versions = asyncio.run(store.reads.freshness(user_id))
    assert versions.user_key is not None
    _, stored = asyncio.run(store.reads.profile(versions.user_key))
    assert stored is not None
    of_user = UserInteractions(stored, catalogue.rows_of_keys(stored.item_key), types)
    did = [GuestEvent(types.by_name[kind][0], item, at, part) for kind, item, at, part in events]
    of_guest = interactions_of([*did, GuestEvent(VIEWED, "gone", 5)], types, catalogue)
    assert of_guest is not None
    assert sums(of_guest) == sums(of_user)
    assert sorted(of_guest.positive_rows) == sorted(of_user.positive_rows)
    assert sorted(of_guest.disliked_rows) == sorted(of_user.disliked_rows)


def test_looked_at_is_weakly_positive(store: Store) -> None:
    store.events.record(happened(("e1", "shown", "ann", "a", 1), ("e2", "shown", "ann", "b", 1)))
    types, catalogue = EventTypeIndex(store.events.types()), Catalogue(store.items, NO_ROWS)
    disliked = types.by_name["disliked"][0]
    views = [GuestEvent(VIEWED, "a", 3), GuestEvent(VIEWED, "b", 2), GuestEvent(disliked, "b", 1)]
    made = interactions_of(views, types, catalogue)
    assert made is not None
    assert [catalogue.item_ids[row] for row in made.positive_rows] == ["a"]
    assert [catalogue.item_ids[row] for row in made.disliked_rows] == ["b"]
    assert not len(made.consumed.rows)
    assert interactions_of([GuestEvent(VIEWED, "gone", 1)], types, catalogue) is None
