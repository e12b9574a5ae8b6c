"""One writer at a time on a SQLite file, across threads and processes.

SQLite 3.7.0-3.51.2 can lose committed rows when one connection writes while another checkpoints (the "WAL-reset" race,
fixed in 3.51.3, 3.50.7 and 3.44.6). Checkpoints happen inside commits, so a lock around every write excludes the race
on every version. It also queues writers instead of letting SQLite's busy handler poll, which lets one starve.
"""

import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.errors import UnavailableError

WAIT_SECONDS = 10.0
POLL_SECONDS = 0.001
LONG_HOLD_SECONDS = 0.05


class WriteLock:
    def __init__(self, path: Path) -> None:
        self._file = path.open("ab")
        self._threads = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises `UnavailableError` when the lock cannot be had within `WAIT_SECONDS`."""
        deadline = time.monotonic() + WAIT_SECONDS
        if not self._threads.acquire(timeout=WAIT_SECONDS):
            raise UnavailableError("other writers are busy; try again")
        try:
            self._lock_file(deadline)
            since = time.monotonic()
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
        finally:
            self._threads.release()
        if time.monotonic() - since > LONG_HOLD_SECONDS:
            time.sleep(3 * POLL_SECONDS)  # a bulk writer comes back at once: whoever polls gets a turn first

    def _lock_file(self, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UnavailableError("another process is writing; try again") from None
                time.sleep(POLL_SECONDS)
            else:
                return

    def close(self) -> None:
        self._file.close()
