"""An event is taken back: nothing of it remains but a tombstone."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from app.store import STORED, UNCHANGED, Store
from app.store.event_deletion import TOMBSTONES_KEPT
from tests.store.test_events import amounts
from tests.support.events import happened
from tests.support.postgres import n_waiting
from tests.support.service import wait_until

pytestmark = pytest.mark.slow

KEPT = TOMBSTONES_KEPT // timedelta(microseconds=1)


def test_sums_of_the_rest(store: Store) -> None:
    store.events.record(
        happened(
            ("e1", "watched", "ann", "x", 10, 0.5),
            ("e2", "watched", "ann", "x", 5, 0.25),
            ("e3", "watched", "ann", "x", 20),
            ("e4", "clicked", "ann", "x", 7),
        )
    )
    version = store.users.freshness("ann").profile_version
    assert store.events.delete("e3", at=30)
    assert amounts(store, "ann") == {("x", "watched"): (2, 5, 10, 0.5), ("x", "clicked"): (1, 7, 7, None)}
    assert store.events.delete("e4", at=30)
    assert amounts(store, "ann") == {("x", "watched"): (2, 5, 10, 0.5)}
    assert store.users.freshness("ann").profile_version == version + 2
    assert [event.event_id for event in store.events.page("ann")] == ["e1", "e2"]


def test_absent(store: Store) -> None:
    assert not store.events.delete("e1", at=1)
    event = happened(("e1", "clicked", "ann", "x", 1))
    assert store.events.record(event).tolist() == [STORED]
    assert [store.events.delete("e1", at=2) for _ in range(2)] == [True, False]


def test_replay(store: Store) -> None:
    event = happened(("e1", "clicked", "ann", "x", 1))
    store.events.record(event)
    store.events.delete("e1", at=2)
    assert store.events.record(event).tolist() == [UNCHANGED]
    assert store.events.count() == 0
    assert store.events.purge_tombstones(now=2 + KEPT) == 0
    assert store.events.purge_tombstones(now=3 + KEPT) == 1
    assert store.events.record(event).tolist() == [STORED]


def test_of_a_merged_guest(store: Store) -> None:
    store.events.record(happened(("e1", "clicked", "guest", "x", 1), ("e2", "clicked", "ann", "x", 2)))
    store.users.merge("ann", "guest")
    store.events.delete("e1", at=3)
    assert amounts(store, "ann") == {("x", "clicked"): (1, 2, 2, None)}


rows = st.tuples(st.sampled_from(["clicked", "watched"]), st.integers(1, 5), st.sampled_from([None, 0.0, 0.5, 1.0]))


@pytest.mark.usefixtures("cheap_hashes")
@settings(max_examples=20)
@given(st.lists(st.tuples(rows, st.booleans()), min_size=1, max_size=8))
def test_as_if_never_stored(store: Store, drawn: list[tuple[tuple[str, int, float | None], bool]]) -> None:
    """The sums are those of a user who never had the events that are taken back."""
    for user in ("ann", "bob"):
        store.users.delete(user)
    stays = [row for row, is_taken_back in drawn if not is_taken_back]
    run = uuid4().hex  # tombstones of the last example stay
    store.events.record(
        happened(
            *[(f"{run}-a{n}", type_, "ann", "x", at, portion) for n, ((type_, at, portion), _) in enumerate(drawn)]
        )
    )
    if stays:
        store.events.record(
            happened(*[(f"{run}-b{n}", type_, "bob", "x", at, portion) for n, (type_, at, portion) in enumerate(stays)])
        )
    for n, (_, is_taken_back) in enumerate(drawn):
        if is_taken_back:
            store.events.delete(f"{run}-a{n}", at=9)
    assert amounts(store, "ann") == (amounts(store, "bob") if stays else {})


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_taken_back_meanwhile(store: Store, database_url: str) -> None:
    """By another transaction, for whose lock on the user this one waits."""
    store.events.record(happened(("e1", "clicked", "ann", "x", 1)))
    engine = sa.create_engine(database_url)
    with ThreadPoolExecutor(1) as threads, engine.connect() as other:
        other.exec_driver_sql("SELECT 1 FROM users FOR UPDATE")
        deleting = threads.submit(store.events.delete, "e1", at=2)
        wait_until(lambda: n_waiting(database_url) == 1)
        other.exec_driver_sql("DELETE FROM events")
        other.commit()
        assert not deleting.result()
    engine.dispose()
    assert store.events.purge_tombstones(now=3 + KEPT) == 0


def test_while_others_come(store: Store) -> None:
    """Deletions and new events of one user at once: the sums are those of what remains."""

    def work(number: int) -> None:
        store.events.record(happened((f"e{number}", "clicked", "ann", "x", number)))
        if number % 2:
            store.events.delete(f"e{number}", at=99)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(1, 25)))
    assert amounts(store, "ann") == {("x", "clicked"): (12, 2, 24, None)}
