"""Answers kept with the effects of their requests."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import sqlalchemy as sa

from app.entities import User
from app.store import Recorded, Store
from app.store.kept_answers import MAX_KEPT_BYTES, AlreadyAnsweredError, Answer, Keep, KeyedRequest
from app.store.schema import kept_answers
from tests.support.ratings import Row, incoming

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def asked(key: str) -> KeyedRequest:
    return KeyedRequest(key, f"fingerprint of {key}")


def body_of(store: Store, key: str) -> bytes | None:
    kept = asyncio.run(store.kept_answers.find(key))
    assert kept is not None
    return kept.body


def makes(store: Store, user_id: str) -> Callable[[], Answer]:
    def act() -> Answer:
        store.users.record([User(user_id)])
        assert store.users.get(user_id) is not None, "reads in the transaction see its writes"
        return Answer(201, user_id.encode())

    return act


def sized(stored: Recorded) -> Answer:
    return Answer(200, b"%d rows" % len(stored.status))


def rate_all(store: Store, *rows: tuple[Row, str | None]) -> list[Recorded | BaseException]:
    """Each row by a caller of its own, with or without a key, all in the same group."""

    def record(row: Row, key: str | None) -> Coroutine[Any, Any, Recorded]:
        keep = None if key is None else Keep(asked(key), sized)
        return store.group_commit.record(incoming(row), untimed_at=100, keep=keep)

    async def gather() -> list[Recorded | BaseException]:
        return await asyncio.gather(*(record(*each) for each in rows), return_exceptions=True)

    return asyncio.run(gather())


def test_second_with_a_key(store: Store) -> None:
    store.kept_answers.carry_out(asked("k"), makes(store, "ann"))
    with pytest.raises(AlreadyAnsweredError):
        store.kept_answers.carry_out(asked("k"), makes(store, "bob"))
    assert (store.users.get("ann"), store.users.get("bob")) == (User("ann"), None)
    assert body_of(store, "k") == b"ann"
    store.kept_answers.carry_out(asked("other"), makes(store, "bob"))
    assert store.users.count() == 2


def test_failure_undoes_everything(store: Store) -> None:
    def act() -> Answer:
        store.users.record([User("ann")])
        store.users.record([User("bob")])
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        store.kept_answers.carry_out(asked("k"), act)
    assert store.users.count() == 0
    store.users.record([User("ann")])  # the lock is free again
    assert store.users.count() == 1


@on_sqlite
def test_part_of_a_transaction(store: Store) -> None:
    """A caller that goes on after a failed second write would commit the rest alone."""

    def write_two() -> None:
        with store.database.joined():
            store.users.record([User("ann")])
            with pytest.raises(ZeroDivisionError), store.database.writing():
                raise ZeroDivisionError

    with pytest.raises(RuntimeError, match="rolled back"):
        write_two()
    assert store.users.count() == 0


def test_group_commit(store: Store) -> None:
    """The keys of one group: a new one, one that comes twice, one that is taken, and callers without a key."""
    store.kept_answers.carry_out(asked("taken"), makes(store, "ann"))
    rows: list[tuple[Row, str | None]] = [
        (("u1", "x", 1), None),
        (("u2", "x", 2), "new"),
        (("u3", "x", 3), "twice"),
        (("u4", "x", 4), "taken"),
        (("u5", "x", 5), "twice"),
        (("u6", "x", 5), None),
    ]
    outcomes = rate_all(store, *rows)
    assert [isinstance(each, AlreadyAnsweredError) for each in outcomes] == [False, False, False, True, True, False]
    assert [bool(store.ratings.page(f"u{n}")) for n in range(1, 7)] == [True, True, True, False, False, True]
    assert [body_of(store, key) for key in ("new", "twice", "taken")] == [b"1 rows", b"1 rows", b"ann"]


@on_sqlite
def test_bounded(store: Store) -> None:
    store.kept_answers.keep(
        [
            (asked("small"), Answer(200, b"[0]" * MAX_KEPT_BYTES)),
            (asked("large"), Answer(200, os.urandom(2 * MAX_KEPT_BYTES))),
        ]
    )
    assert body_of(store, "small") == b"[0]" * MAX_KEPT_BYTES
    assert body_of(store, "large") is None


def test_purge(store: Store) -> None:
    store.kept_answers.keep([(asked("old"), Answer(200, b"")), (asked("new"), Answer(200, b""))])
    day = 24 * 3_600 * 1_000_000
    with store.database.writing() as connection:
        aged = sa.update(kept_answers).where(kept_answers.c.request_key == "old")
        connection.execute(aged.values(kept_at=kept_answers.c.kept_at - day))
    assert store.kept_answers.purge() == 1
    assert asyncio.run(store.kept_answers.find("old")) is None
    assert body_of(store, "new") == b""
