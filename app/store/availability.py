"""Whether the database answers: a circuit breaker with a probe, for processes that answer requests.

A request that finds the database silent waits for its time limit. Without a breaker, every request would wait for it
again, and hold a thread or a place meanwhile. So the first failure of a read or write makes the database *down*: until
a probe succeeds, every other read and write fails at once. The probe runs in a thread of its own, at once after a
failure and four times a second while the database is down. It is as strict as the reads of an answer, so that a
database that is only too slow for answers stays down.

A driver that waits for a server in a thread cannot be told to stop. The same thread therefore watches the operations in
progress: if one takes suspiciously long and the probe fails too, the connections of all are cut, which ends the wait.
An operation may take long while the database answers the probe.

Refused: a time limit of the server for each statement, since a frozen server keeps none, and some operations of
operators take minutes on a large database.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from app.errors import ReckonError, StorageUnavailableError

log = structlog.get_logger()

POLL_SECONDS = 0.1
PROBE_PAUSE_SECONDS = 0.25
SUSPECT_SECONDS = 0.5
"""An operation that takes longer is a reason to probe."""

READ_SECONDS = 0.5
"""Time limit of a read on the path of an answer, and of the probe."""

CONNECT_SECONDS = 1.0
WAIT_SECONDS = 1.2
"""How long a write of a request waits for those of Reckon, and half of it for other programs: together below 2 s."""


class Outage(NamedTuple):
    """Since when the database has been down, and the first error of the kind that came last."""

    since: datetime
    error: StorageUnavailableError


class Availability:
    """Follows one database once `follow` was called; before that, it is never down, and each caller waits for itself.

    `probe` raises `ReckonError` unless the database answers a read within its time limit. `hang_up` cuts all
    connections that threads may be waiting for.
    """

    def __init__(self, probe: Callable[[], None], hang_up: Callable[[], None]) -> None:
        self._probe = probe
        self._hang_up = hang_up
        self._outage: Outage | None = None
        self._operations: dict[object, float] = {}
        self._changing = threading.Lock()
        self._wake = threading.Event()
        self._is_stopped = False
        self._thread: threading.Thread | None = None

    @property
    def outage(self) -> Outage | None:
        """None while the database answers."""
        return self._outage

    def check(self) -> None:
        """Raises the error of the outage again while the database is down: its type tells what to do."""
        if (outage := self._outage) is not None:
            raise type(outage.error)(outage.error.detail)

    def failed(self, error: StorageUnavailableError) -> None:
        """Makes the database down, if it is followed, until a probe succeeds."""
        if self._thread is None:
            return
        with self._changing:
            if self._outage is None:
                self._outage = Outage(datetime.now(UTC), error)
                log.warning("database is down", why=error.detail)
            elif type(error) is not type(self._outage.error):
                # A file that was replaced turns out to be damaged, for example.
                self._outage = self._outage._replace(error=error)
        self._wake.set()

    @contextmanager
    def reported(self) -> Iterator[None]:
        """For a read on the event loop: fails at once while the database is down, and reports that it does not answer.

        A read in a thread is watched as well, see `Database`.
        """
        self.check()
        try:
            yield
        except StorageUnavailableError as error:
            self.failed(error)
            raise

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Counts the block, which waits for the database in a thread, as an operation in progress."""
        operation = object()
        self._operations[operation] = time.monotonic()
        try:
            yield
        finally:
            del self._operations[operation]

    def follow(self) -> None:
        self._thread = threading.Thread(target=self._run, name="database-probe", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        self._look()  # so that the probe is connected when it is needed
        while not self._is_stopped:
            self._wake.wait(PROBE_PAUSE_SECONDS if self._outage is not None else POLL_SECONDS)
            self._wake.clear()
            if not self._is_stopped and (self._outage is not None or self._is_suspect()):
                self._look()

    def _is_suspect(self) -> bool:
        # A copy, which is made in one step: other threads change the dictionary.
        started = list(self._operations.values())
        return bool(started) and time.monotonic() - min(started) > SUSPECT_SECONDS

    def _look(self) -> None:
        # A probe that began before a failure says nothing about the database after it.
        before = self._outage
        try:
            self._probe()
        except ReckonError as error:
            self.failed(error if isinstance(error, StorageUnavailableError) else StorageUnavailableError(error.detail))
            self._wake.clear()  # the pause between two probes
            self._cut()
        except Exception:
            # The thread must not end: the database would stay down for ever.
            log.exception("probe of the database failed")
        else:
            self._recovered(before)

    def _cut(self) -> None:
        if self._operations:
            with suppress(OSError):
                self._hang_up()

    def _recovered(self, outage: Outage | None) -> None:
        """Ends this outage, unless another has begun meanwhile."""
        with self._changing:
            if outage is None or self._outage is not outage:
                return
            self._outage = None
        seconds = (datetime.now(UTC) - outage.since).total_seconds()
        log.warning("database answers again", seconds=round(seconds, 3))
