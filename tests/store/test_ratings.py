"""The upsert rule, tombstones and bulk reads, on both databases."""

import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.entities import UNKNOWN_TIME, Item
from app.store import REPLACED, STORED, UNCHANGED, Store, migrate, postgres
from app.store.dialect import UnexpectedDatabaseError
from tests.support.databases import MigratedDatabases
from tests.support.ratings import incoming


def stored(store: Store) -> dict[tuple[str, str], tuple[float, int]]:
    rows: dict[tuple[str, str], tuple[float, int]] = {}
    for chunk in store.ratings.stream(chunk_size=2):
        pairs = zip(chunk.user_id, chunk.item_id, strict=True)
        rows |= dict(zip(pairs, zip(chunk.value.tolist(), chunk.rated_at.tolist(), strict=True), strict=True))
    return rows


def test_newest_wins(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3, 10)))
    older = store.ratings.record(incoming(("ann", "x", 1, 9)))
    newer = store.ratings.record(incoming(("ann", "x", 5, 11)))
    assert (older.status[0], older.value[0], older.rated_at[0]) == (UNCHANGED, 3, 10)
    assert newer.status[0] == REPLACED
    assert stored(store) == {("ann", "x"): (5, 11)}


def test_equal_times_later_arrival(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3, 10)))
    assert store.ratings.record(incoming(("ann", "x", 4, 10))).status[0] == REPLACED
    assert stored(store) == {("ann", "x"): (4, 10)}


def test_replay_changes_nothing(store: Store) -> None:
    rows = incoming(("ann", "x", 3, 10), ("ann", "y", 4), ("bob", "x", 2, 12))
    assert store.ratings.record(rows).status.tolist() == [STORED] * 3
    before = store.ratings.change_count()
    assert store.ratings.record(rows).status.tolist() == [UNCHANGED] * 3
    assert store.ratings.change_count() == before


def test_unknown_time_is_oldest(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3)))
    assert store.ratings.record(incoming(("ann", "x", 4))).status[0] == REPLACED
    assert store.ratings.record(incoming(("ann", "x", 5, -100))).status[0] == REPLACED
    assert store.ratings.record(incoming(("ann", "x", 1))).status[0] == UNCHANGED
    assert stored(store) == {("ann", "x"): (5, -100)}


def test_untimed_takes_clock(store: Store) -> None:
    assert store.ratings.record(incoming(("ann", "x", 3)), untimed_at=np.array([50])).rated_at[0] == 50
    assert store.ratings.record(incoming(("ann", "x", 3)), untimed_at=np.array([60])).status[0] == UNCHANGED
    assert store.ratings.record(incoming(("ann", "x", 4)), untimed_at=np.array([70])).status[0] == REPLACED
    assert stored(store) == {("ann", "x"): (4, 70)}


def test_untimed_is_newest_though_the_clock_was_set_back(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3, 1_000)))
    assert untimed(store, 4, at=50) == REPLACED
    assert untimed(store, 4, at=60) == UNCHANGED  # a retry
    assert store.ratings.record(incoming(("ann", "x", 3, 1_000))).status[0] == UNCHANGED  # a replay of the first
    assert store.ratings.remove("ann", "x", at=70)
    assert store.ratings.record(incoming(("ann", "x", 3, 1_000))).status[0] == UNCHANGED
    assert untimed(store, 5, at=80) == STORED
    assert stored(store) == {("ann", "x"): (5, 1_003)}


def test_replay_after_deletion_by_a_clock_set_back(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3, 1_000)))
    assert store.ratings.remove("ann", "x", at=50)
    assert store.ratings.record(incoming(("ann", "x", 3, 1_000))).status[0] == UNCHANGED
    assert stored(store) == {}


def untimed(store: Store, value: float, *, at: int) -> int:
    return int(store.ratings.record(incoming(("ann", "x", value)), untimed_at=np.array([at])).status[0])


def test_repeats_in_one_batch(store: Store) -> None:
    rows = incoming(("ann", "x", 1, 5), ("ann", "x", 2, 4), ("bob", "x", 3, 1), ("ann", "x", 4, 6))
    assert store.ratings.record(rows).status.tolist() == [STORED, UNCHANGED, STORED, REPLACED]
    assert stored(store) == {("ann", "x"): (4, 6), ("bob", "x"): (3, 1)}


def test_tombstone_hides_and_holds(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3, 10)))
    changes = store.ratings.change_count()
    assert store.ratings.remove("ann", "x", at=20)
    assert not store.ratings.remove("ann", "x", at=21)
    assert store.ratings.change_count() == changes + 1
    assert stored(store) == {}
    assert store.ratings.page("ann") == []
    assert store.ratings.record(incoming(("ann", "x", 3, 10))).status[0] == UNCHANGED
    assert stored(store) == {}
    assert store.ratings.record(incoming(("ann", "x", 2, 30))).status[0] == STORED
    assert stored(store) == {("ann", "x"): (2, 30)}


def test_tombstones_are_purged(store: Store) -> None:
    day = 86_400_000_000
    store.ratings.record(incoming(("ann", "x", 3, 0), ("ann", "y", 3, 0)))
    store.ratings.remove("ann", "x", at=0)
    assert store.ratings.purge_tombstones(now=29 * day) == 0
    assert store.ratings.purge_tombstones(now=31 * day) == 1
    assert store.ratings.count() == 1


def test_remove_unknown(store: Store) -> None:
    assert not store.ratings.remove("nobody", "nothing", at=1)


def test_versions_count_changes(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3, 1), ("ann", "y", 3, 1), ("bob", "x", 1, 1)))
    assert store.users.freshness("ann").user_version == 2
    assert store.users.freshness("bob").user_version == 1
    assert store.users.freshness("nobody").user_key is None


def test_pages_by_key(store: Store) -> None:
    store.ratings.record(incoming(*[("ann", f"i{n}", 3, n) for n in range(5)]))
    first = store.ratings.page("ann", limit=3)
    rest = store.ratings.page("ann", after=first[-1][0], limit=3)
    assert [rating.item_id for _, rating in first + rest] == [f"i{n}" for n in range(5)]


@pytest.mark.parametrize("copied_from", [1, 500])
def test_failed_batch_stores_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, copied_from: int) -> None:
    monkeypatch.setattr(postgres, "COPIED_FROM", copied_from)
    rows = incoming(("ann", "x", 3, 10), ("ann", "y", 1e308, 10))
    with pytest.raises(UnexpectedDatabaseError):
        store.ratings.record(rows)
    assert store.ratings.count() == 0
    assert store.items.count() == 0


def test_concurrent_writers(store: Store) -> None:
    """Every writer's rows arrive, and each user's version counts each change once."""
    batches = [incoming(*[(f"u{n % 3}", f"w{writer}-{n}", 3, n) for n in range(30)]) for writer in range(6)]
    with ThreadPoolExecutor(6) as pool:
        recorded = list(pool.map(store.ratings.record, batches))
    assert all((each.status == STORED).all() for each in recorded)
    assert store.ratings.count() == 180
    assert [store.users.freshness(f"u{n}").user_version for n in range(3)] == [60, 60, 60]


def test_same_pair_at_once(store: Store) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: store.ratings.record(incoming(("ann", "x", n, n))), range(12)))
    assert stored(store) == {("ann", "x"): (11, 11)}


Row = st.tuples(
    st.sampled_from("ab"),
    st.sampled_from("xy"),
    st.integers(1, 5),
    st.one_of(st.none(), st.integers(0, 4)),
)


@given(rows=st.lists(Row, min_size=1, max_size=12), split=st.integers(0, 12))
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
@settings(max_examples=60, deadline=None)
def test_upsert_against_oracle(
    kind: str, rows: list[tuple[str, str, int, int | None]], split: int, databases: MigratedDatabases
) -> None:
    """Whatever the order and the batches: per pair the last of the newest is stored, on Postgres by COPY."""
    expected: dict[tuple[str, str], tuple[float, int]] = {}
    for user, item, value, time in rows:
        rated_at = int(UNKNOWN_TIME) if time is None else time
        if (user, item) not in expected or rated_at >= expected[user, item][1]:
            expected[user, item] = (value, rated_at)
    with (
        tempfile.TemporaryDirectory() as folder,
        databases.fresh(kind, Path(folder)) as url,
        closing(Store.open(url, Path(folder))) as store,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(postgres, "COPIED_FROM", 1)
        for part in (rows[:split], rows[split:]):
            if part:
                store.ratings.record(incoming(*part))
        assert stored(store) == expected


def test_survives_kill(tmp_path: Path) -> None:
    """What was acknowledged is in the file of a process that never closed it."""
    migrate("", tmp_path)
    store = Store.open("", tmp_path)
    store.ratings.record(incoming(("ann", "x", 3, 10)))
    with sqlite3.connect(tmp_path / "reckon.db") as other:
        assert other.execute("SELECT value FROM ratings").fetchall() == [(3.0,)]
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    other.close()
    store.close()


def test_writers_of_everything(store: Store) -> None:
    """Ratings, items and deletions at once, of the same users and items: none waits in a circle, none is lost."""

    def work(worker: int) -> None:
        for n in range(6):
            rows = [(f"u{(worker + k) % 4}", f"i{(n * 3 + k) % 7}", 3, worker * 100 + n) for k in range(4)]
            store.ratings.record(incoming(*rows))
            store.items.record([Item(f"i{(n + k) % 7}", title=f"{worker}") for k in range(3)])
            store.items.delete(f"i{(n + worker) % 7}")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert store.ratings.count() == len(stored(store))


@pytest.mark.parametrize("limit", [1, 2, 9])
def test_pages_by_time(store: Store, limit: int) -> None:
    """Equal and unknown times neither repeat nor skip a rating, whatever the size of a page."""
    times = [5, None, 7, 5, None, 5, -3]
    store.ratings.record(incoming(*[("ann", f"i{n}", 3, at) for n, at in enumerate(times)]))
    store.ratings.remove("ann", "i3", at=6)
    found, before = [], None
    while page := store.ratings.newest_page("ann", before=before, limit=limit):
        found += [rating.item_id for _, rating in page]
        before = page[-1][0]
    assert found == ["i2", "i5", "i0", "i6", "i4", "i1"]
    assert store.ratings.newest_page("ann")[-1][1].rated_at is None
