"""A lock that admits one writer of a SQLite file at a time, across threads and processes.

SQLite 3.7.0-3.51.2 can lose committed rows when one connection writes while another checkpoints (the "WAL-reset" race,
fixed in 3.51.3, 3.50.7 and 3.44.6). Checkpoints happen inside commits, so a lock around every write excludes the race
on every version. It also queues the threads of a process; SQLite's busy handler polls and can starve a writer.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from app.errors import UnavailableError

POLL_SECONDS = 0.001
LONG_HOLD_SECONDS = 0.05


class WriteLock:
    """An `flock` on the file at `path`, and a lock of the threads of this process."""

    def __init__(self, path: Path, wait_seconds: float) -> None:
        self._wait_seconds = wait_seconds
        self._path = path
        self._file = self._opened()
        self._threads = threading.Lock()

    def _opened(self) -> BinaryIO:
        return open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb")  # noqa: PTH123

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises `UnavailableError` when the lock is not free within `wait_seconds`."""
        # `flock` belongs to the open file, which the threads share: a second lock orders them.
        deadline = time.monotonic() + self._wait_seconds
        if not self._threads.acquire(timeout=self._wait_seconds):
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
            # A bulk writer takes the lock again at once: the pause lets a polling process have its turn first.
            time.sleep(3 * POLL_SECONDS)

    def _lock_file(self, deadline: float) -> None:
        while True:
            # Polled, because a blocking `flock` has no timeout.
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UnavailableError("another process is writing; try again") from None
                time.sleep(POLL_SECONDS)
            else:
                if self._is_own():
                    return
                # Its folder was replaced, or the file was removed: other processes lock another one.
                self._file.close()
                self._file = self._opened()

    def _is_own(self) -> bool:
        """Whether the locked file has the name. True without a name: then there is no database to be written either."""
        try:
            return os.stat(self._path).st_ino == os.fstat(self._file.fileno()).st_ino  # noqa: PTH116  faster by two thirds
        except FileNotFoundError:
            return not self._path.parent.exists()

    def close(self) -> None:
        self._file.close()
