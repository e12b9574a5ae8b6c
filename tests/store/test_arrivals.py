"""Totals and arrivals follow every write: they equal what counting all rows says."""

import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise

import pytest
import sqlalchemy as sa

from app.entities import Item, Patch, User
from app.errors import StorageUnavailableError
from app.store import Store
from app.store.arrivals import HOUR, KEPT, KINDS
from app.store.counts import read_counts
from app.store.schema import arrivals, totals
from tests.support.events import happened
from tests.support.ratings import incoming


def added(store: Store) -> dict[str, int]:
    """The totals after adding what is noted, which are those that counting finds."""
    store.arrivals.flush()
    known = {kind: total.n for kind, total in store.arrivals.totals().items()}
    counts = read_counts(store.database)
    assert known == {kind: getattr(counts, kind) for kind in KINDS}
    return {kind: n for kind, n in known.items() if n}


def arrived(store: Store) -> dict[str, int]:
    store.arrivals.flush()
    hours = store.arrivals.by_hour(2)
    sums = {kind: sum(getattr(each, kind) for each in hours) for kind in KINDS}
    return {kind: n for kind, n in sums.items() if n}


def test_every_write(store: Store) -> None:
    """Each of these changes the totals by as much as it changes what is stored."""
    assert added(store) == {}
    rows = incoming(("ann", "x", 5.0, 1), ("ann", "y", 4.0, 1), ("bob", "x", 3.0, 1), ("bob", "x", 2.0, 2))
    store.ratings.record(rows)
    assert added(store) == {"ratings": 3, "users": 2, "items": 2}
    store.ratings.record(rows)
    assert arrived(store) == {"ratings": 3, "users": 2, "items": 2}
    clicks = [(f"e{n}", "clicked", user, item, n) for n, (user, item) in enumerate([("ann", "x"), ("cem", "z")])]
    store.events.record(happened(*clicks, *clicks))
    assert added(store) == {"ratings": 3, "events": 2, "users": 3, "items": 3}
    store.users.record([User("ann", "FI"), User("dan")])
    store.items.record([Item("x", title="X"), Item("new")])
    assert added(store) == {"ratings": 3, "events": 2, "users": 4, "items": 4}
    for _ in range(2):
        store.ratings.remove("ann", "y", at=5)
        store.events.delete("e1", at=5)
        store.items.delete("x")
        store.users.delete("bob")
    assert added(store) == {"users": 3, "items": 3}
    # Deletions take nothing away from what arrived.
    assert arrived(store) == {"ratings": 3, "events": 2, "users": 4, "items": 4}


def test_deleted_items(store: Store) -> None:
    """One that comes back for the history of users is no item until it is put again."""
    store.ratings.record(incoming(("ann", "x", 5.0)))
    store.items.delete("x")
    store.ratings.record(incoming(("ann", "x", 4.0)))
    assert added(store) == {"ratings": 1, "users": 1}
    store.items.delete("x")
    assert added(store) == {"users": 1}
    store.ratings.record(incoming(("ann", "x", 4.0)))
    store.items.patch([Patch("x", {"title": "X"})])
    store.items.patch([Patch("x", {"title": "Y"})])
    assert added(store) == {"ratings": 1, "users": 1, "items": 1}


def test_merge(store: Store) -> None:
    """Of ratings and events that both have, one stays."""
    store.ratings.record(incoming(("ann", "x", 5.0, 2), ("guest", "x", 1.0, 1), ("guest", "y", 1.0, 1)))
    store.ratings.remove("ann", "y", at=5)
    store.events.record(
        happened(("e", "clicked", "ann", "x", 1), ("e", "clicked", "guest", "x", 1), ("f", "clicked", "guest", "x", 1))
    )
    store.users.merge("ann", "guest")
    assert added(store) == {"ratings": 2, "events": 2, "users": 1, "items": 2}
    # What comes late for the guest goes to the user: the transaction that inserted the guest is undone.
    store.ratings.record(incoming(("guest", "z", 1.0)))
    assert added(store) == {"ratings": 3, "events": 2, "users": 1, "items": 3}
    store.users.merge("new", "ann")
    assert added(store) == {"ratings": 3, "events": 2, "users": 1, "items": 3}


def undone(store: Store) -> None:
    with store.database.writing():
        store.database.note("ratings", stored=7)
        raise ZeroDivisionError


def undone_together(store: Store) -> None:
    with store.database.joined():
        store.ratings.record(incoming(("ann", "x", 5.0)))
        raise ZeroDivisionError


def test_undone_writes(store: Store) -> None:
    """Nothing is noted of a transaction that is rolled back, nor of the first part of a joined one that is."""
    for write in (undone, undone_together):
        with pytest.raises(ZeroDivisionError):
            write(store)
    assert added(store) == {}
    with store.database.joined():
        with pytest.raises(ZeroDivisionError):
            undone(store)
        store.ratings.record(incoming(("ann", "x", 5.0)))
    assert added(store) == {"ratings": 1, "users": 1, "items": 1}


def test_lost_transaction(store: Store) -> None:
    """After a part of it is rolled back, whoever goes on writing is stopped, and so is the commit."""
    with pytest.raises(RuntimeError, match="rolled back"), store.database.joined():  # noqa: PT012  each write of it
        store.ratings.record(incoming(("ann", "x", 5.0)))
        with pytest.raises(ZeroDivisionError):
            undone(store)
        with pytest.raises(RuntimeError, match="rolled back"):
            store.ratings.record(incoming(("bob", "x", 5.0)))
    assert store.ratings.count() == 0


def test_counted_anew(store: Store) -> None:
    """A count makes up for what a crash lost, and does not count twice what was noted before it."""
    store.ratings.record(incoming(("ann", "x", 5.0)))
    store.database.noted.take()  # lost
    first = store.arrivals.totals()["ratings"]
    assert first.n == 1
    store.ratings.record(incoming(("bob", "x", 5.0)))
    data = store.training_reads.load()
    assert data.totals == {"ratings": 2, "events": 0, "users": 2, "items": 1}
    store.arrivals.keep_totals(data.totals, data.read_at)
    assert added(store) == {"ratings": 2, "users": 2, "items": 1}
    # An older count that comes late changes nothing.
    store.arrivals.keep_totals(dict.fromkeys(KINDS, 99), data.read_at - 1)
    assert added(store) == {"ratings": 2, "users": 2, "items": 1}
    assert store.arrivals.totals()["ratings"].counted_at > first.counted_at


def test_idle(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without anything noted, or too soon after the last time, nothing is written."""
    store.ratings.record(incoming(("ann", "x", 5.0)))
    store.arrivals.flush()
    monkeypatch.setattr(store.database, "writing", pytest.fail)
    store.arrivals.flush()
    store.database.noted.add({"ratings": (1, 0)})
    store.arrivals.flush(every_seconds=3_600)


def test_failing_database(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be added is added later."""
    store.ratings.record(incoming(("ann", "x", 5.0)))
    with monkeypatch.context() as patch:
        patch.setattr(store.arrivals, "_add", _raise)
        with pytest.raises(StorageUnavailableError):
            store.arrivals.flush()
    assert arrived(store) == {"ratings": 1, "users": 1, "items": 1}


def _raise(_taken: object) -> None:
    raise StorageUnavailableError("silent")


def test_several_processes(store: Store, database_url: str, tmp_path: object) -> None:
    """They add to the same rows at the same time."""
    stores = [Store(store.database), *(Store.open(database_url, tmp_path) for _ in range(2))]  # type: ignore[arg-type]  # a folder
    store.arrivals.totals()

    def write(n: int) -> None:
        for m in range(5):
            stores[n].ratings.record(incoming((f"u{n}", f"i{m}", 5.0)))
            stores[n].arrivals.flush()

    together([lambda n=n: write(n) for n in range(3)])  # type: ignore[misc]  # mypy infers no default
    for each in stores[1:]:
        each.close()
    assert added(store) == {"ratings": 15, "users": 3, "items": 5}


def together(acts: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=act) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_hours(store: Store) -> None:
    now = store.database.now()
    hour = now - now % HOUR
    with store.database.writing() as connection:
        old = hour - KEPT // timedelta(microseconds=1)
        rows = [
            (hour, "ratings", 1),
            (hour - HOUR, "events", 2),
            (hour - 3 * HOUR, "items", 3),
            (old - HOUR, "users", 4),
            (hour + 2 * HOUR, "ratings", 5),  # by a clock that was set back since
        ]
        connection.execute(sa.insert(arrivals), [dict(zip(("hour", "kind", "n"), row, strict=True)) for row in rows])
    hours = store.arrivals.by_hour(3)
    assert [(each.ratings, each.events, each.items, each.users) for each in hours][-3:] == [
        (0, 0, 0, 0),
        (0, 2, 0, 0),
        (1, 0, 0, 0),
    ]
    assert {later.hour - earlier.hour for earlier, later in pairwise(hours)} == {timedelta(hours=1)}
    assert store.arrivals.purge(now=now) == 1


def test_never_below_zero(store: Store) -> None:
    store.arrivals.totals()
    with store.database.writing() as connection:
        connection.execute(sa.update(totals).values(n=-1))
    assert {total.n for total in store.arrivals.totals().values()} == {0}
