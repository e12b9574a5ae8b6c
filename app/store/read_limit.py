"""A time limit for the reads of pages that people look at: they must not take for long what answers need."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from app.errors import UnavailableError


class ReadTooLongError(UnavailableError):
    """A read was given up. The database is well: this is no outage."""

    title = "This takes too long"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the database was asked for more than it finds in {seconds:g} seconds: ask for less")


_seconds: ContextVar[float | None] = ContextVar("read_seconds", default=None)


@contextmanager
def limited_reads(seconds: float) -> Iterator[None]:
    """Each read in this block, and in threads that it waits for, raises `ReadTooLongError` after so long."""
    token = _seconds.set(seconds)
    try:
        yield
    finally:
        _seconds.reset(token)


def read_seconds() -> float | None:
    """The limit of the reads of this block; None without one."""
    return _seconds.get()
