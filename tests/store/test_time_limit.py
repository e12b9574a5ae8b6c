"""Calls that end in time, too late, or with an error."""

import threading
from functools import partial

import pytest

from app.store.time_limit import within
from tests.support.service import wait_until


def test_result_in_time() -> None:
    assert within(60, lambda: 7, lambda _: None) == 7


def test_error_in_time() -> None:
    """That of the call itself, also where it is of the kind that tells of the limit."""
    for raised in (ZeroDivisionError("own"), TimeoutError("own")):
        with pytest.raises(type(raised), match="own"):
            within(60, partial(throw, raised), lambda _: None)


def throw(error: Exception) -> None:
    raise error


def test_result_too_late() -> None:
    goes_on = threading.Event()
    discarded: list[bool] = []
    with pytest.raises(TimeoutError):
        within(0.01, lambda: goes_on.wait(60), discarded.append)
    goes_on.set()
    wait_until(lambda: discarded == [True])


def test_error_too_late() -> None:
    """Nobody waits for it: the thread ends, and nothing is discarded."""
    goes_on, discarded = threading.Event(), list[None]()
    before = set(threading.enumerate())

    def fail() -> None:
        assert goes_on.wait(60)
        raise ZeroDivisionError

    with pytest.raises(TimeoutError):
        within(0.01, fail, discarded.append)
    (thread,) = set(threading.enumerate()) - before
    goes_on.set()
    thread.join(60)
    assert (thread.is_alive(), discarded) == (False, [])
