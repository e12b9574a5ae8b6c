"""Imports and their rejected rows: what is kept, and for how long."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.entities import User
from app.errors import NotFoundError
from app.store import Store
from app.store.imports import MOST_IMPORTS, ROWS_KEPT, SILENT_WITHIN, ImportRunsError, KeptRow
from app.store.schema import imports, rejected_rows

COUNTS = {"ratings": {"readable": 2, "stored": 2, "replaced": 0, "unchanged": 0, "rejected": 3}}


def row(number: int, text: str = "ann,x,eleven") -> KeptRow:
    return KeptRow(number, "ratings.csv", number + 1, "value", "value: 'eleven' is not a number", text)


def rows_of(store: Store, import_id: str) -> list[KeptRow]:
    return [each for page in store.imports.rows(import_id) for each in page]


def test_course_of_an_import(store: Store) -> None:
    import_id = store.imports.begin("ratings.csv")
    begun = store.imports.get(import_id)
    assert (begun.file, begun.state, begun.finished_at, begun.counts) == ("ratings.csv", "running", None, {})
    store.imports.keep(import_id, [row(1), row(2)])
    store.imports.report(import_id, COUNTS)
    assert store.imports.get(import_id).n_rejected == 3
    store.imports.keep(import_id, [row(3)])
    store.imports.finish(import_id, "failed", COUNTS, "the file is damaged")
    (ended,) = store.imports.latest()
    assert (ended.state, ended.reason, ended.n_rejected, ended.n_kept) == ("failed", "the file is damaged", 3, 3)
    assert ended.finished_at is not None
    assert rows_of(store, import_id) == [row(1), row(2), row(3)]
    with pytest.raises(NotFoundError):
        store.imports.get("unknown")


def test_import_of_an_upload(store: Store) -> None:
    import_id = store.imports.begin_upload("ratings.csv", "0123", "scale=1%3A5")
    begun = store.imports.get(import_id)
    assert (begun.state, begun.upload_id, begun.upload_options) == ("running", "0123", "scale=1%3A5")
    store.imports.abandon(import_id, "it was killed")
    assert (store.imports.get(import_id).state, store.imports.get(import_id).reason) == ("failed", "it was killed")
    store.imports.finish(import_id, "succeeded", COUNTS)
    store.imports.abandon(import_id, "too late")
    assert (store.imports.get(import_id).state, store.imports.get(import_id).reason) == ("succeeded", None)


def test_one_import_of_an_upload(store: Store) -> None:
    """Processes that begin one at the same moment: one of them does, and the others are refused."""
    n = 6
    at_once = threading.Barrier(n)

    def begin(number: int) -> str | None:
        at_once.wait()
        try:
            return store.imports.begin_upload(f"{number}.csv", str(number), "")
        except ImportRunsError:
            return None

    with ThreadPoolExecutor(n) as pool:
        begun = [each for each in pool.map(begin, range(n)) if each is not None]
    assert len(begun) == len(store.imports.latest()) == 1
    store.imports.finish(begun[0], "succeeded", {})
    by_command = store.imports.begin("ratings.csv")
    assert store.imports.begin("beside.csv")  # of a command, which nothing refuses
    with pytest.raises(ImportRunsError):
        store.imports.begin_upload("ratings.csv", "0123", "")
    store.imports.finish(by_command, "succeeded", {})
    with pytest.raises(ImportRunsError):
        store.imports.begin_upload("ratings.csv", "0123", "")


def test_killed_import_refuses_none(store: Store) -> None:
    store.imports.begin_upload("ratings.csv", "0123", "")
    with store.database.writing() as connection:
        span = SILENT_WITHIN // timedelta(microseconds=1)
        connection.execute(sa.update(imports).values(reported_at=imports.c.reported_at - span - 1))
    assert store.imports.begin_upload("ratings.csv", "0123", "")


def test_progress(store: Store) -> None:
    """How much time is left is known once enough is done to estimate it."""
    import_id = store.imports.begin("ratings.csv")
    assert (store.imports.get(import_id).progress, store.imports.get(import_id).seconds_left) == (None, None)
    store.imports.report(import_id, COUNTS, 0.25)
    assert (store.imports.get(import_id).progress, store.imports.get(import_id).seconds_left) == (0.25, None)
    with store.database.writing() as connection:
        began = sa.update(imports).values(started_at=imports.c.reported_at - 20_000_000)
        connection.execute(began)
    assert store.imports.get(import_id).seconds_left == pytest.approx(60)
    store.imports.report(import_id, COUNTS)
    assert store.imports.get(import_id).seconds_left is None
    store.imports.report(import_id, COUNTS, 0.01)
    assert store.imports.get(import_id).seconds_left is None
    store.imports.finish(import_id, "failed", COUNTS)
    assert (store.imports.get(import_id).progress, store.imports.get(import_id).seconds_left) == (0.01, None)
    store.imports.finish(import_id, "succeeded", COUNTS)
    assert (store.imports.get(import_id).progress, store.imports.get(import_id).seconds_left) == (1.0, None)


def test_many_rows(store: Store) -> None:
    import_id = store.imports.begin("ratings.csv")
    other_id = store.imports.begin("other.csv")
    rows = [row(number) for number in range(1, 2_502)]
    store.imports.keep(import_id, rows)
    store.imports.keep(other_id, [row(1)])
    assert rows_of(store, import_id) == rows


def test_killed(store: Store) -> None:
    import_id = store.imports.begin("ratings.csv")
    with store.database.writing() as connection:
        span = SILENT_WITHIN // timedelta(microseconds=1)
        connection.execute(sa.update(imports).values(reported_at=imports.c.reported_at - span))
    assert store.imports.get(import_id).state == "interrupted"
    store.imports.report(import_id, COUNTS)
    assert store.imports.get(import_id).state == "running"


@pytest.mark.parametrize("text", ["a\x00b", "caf\udce9", "\ud800", "x" * 5_000, "\x1b[31m"])
def test_any_text(store: Store, text: str) -> None:
    import_id = store.imports.begin(text)
    store.imports.keep(import_id, [KeptRow(1, text, 1, None, text, text)])
    (kept,) = rows_of(store, import_id)
    assert kept.text.isprintable()
    assert len(kept.text) <= 2_000
    assert "\\x1b" in kept.text or "\x1b" not in text


def test_newest_imports_stay(store: Store) -> None:
    first = store.imports.begin("first.csv")
    store.imports.keep(first, [row(1)])
    second = store.imports.begin("second.csv")
    store.imports.keep(second, [row(1)])
    for _ in range(MOST_IMPORTS - 1):
        store.imports.begin("later.csv")
    assert len(store.imports.latest()) == MOST_IMPORTS
    assert rows_of(store, first) == []
    assert rows_of(store, second) == [row(1)]
    store.imports.keep(first, [row(2)])  # it may still run
    store.imports.finish(first, "succeeded", {})
    assert rows_of(store, first) == []


def test_old_rows_go(store: Store) -> None:
    import_id = store.imports.begin("ratings.csv")
    store.imports.keep(import_id, [row(1)])
    now = store.database.now()
    store.imports.purge(now=now)
    assert store.imports.get(import_id).n_kept == 1
    store.imports.purge(now=now + ROWS_KEPT // timedelta(microseconds=1))
    assert store.imports.get(import_id).n_kept == 0


def test_any_user_is_deleted(store: Store) -> None:
    """A row may name anybody, so all of them go with any user; the import stays, with its counts."""
    store.users.record([User("bob")])
    import_id = store.imports.begin("ratings.csv")
    store.imports.keep(import_id, [row(1)])
    store.imports.finish(import_id, "succeeded", COUNTS)
    erasure = store.users.delete("bob")
    assert erasure is not None
    assert erasure.removed["rejected_rows"] == 1
    assert rows_of(store, import_id) == []
    assert store.imports.get(import_id).n_rejected == 3


@pytest.mark.parametrize("user_id", ["ann", 'a"n%n'])
def test_user_of_rejected_rows_alone(store: Store, user_id: str) -> None:
    """Nothing else is stored of the user, and the deletion is an erasure nevertheless."""
    import_id = store.imports.begin("ratings.csv")
    quoted = user_id.replace('"', '""')
    store.imports.keep(import_id, [row(1, f'"{quoted}",x,eleven')])
    assert store.users.delete("somebody-else") is None
    assert rows_of(store, import_id)
    assert store.users.delete(user_id) is not None
    with store.database.reading() as connection:
        assert connection.execute(sa.select(rejected_rows)).all() == []
