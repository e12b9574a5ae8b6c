"""Which files of a SQLite database a process has open, and whether others were put in their place.

SQLite opens files by name and keeps them by number (inode). A file that is renamed or copied anew to the name is
another file: what is written to the open one is lost. The write-ahead log (`-wal`) belongs to one database file; it
would damage any other that takes the name.
"""

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.errors import StorageUnavailableError
from app.store.overwriting import Overwriting

MAGIC = b"SQLite format 3\0"
QUIET_SECONDS = 0.2
"""A file that changed within this time may still be being copied."""


class DatabaseReplacedError(StorageUnavailableError):
    """The file was replaced while it was open. It is opened again within a poll; nothing is written until then."""

    type = "database-replaced"
    title = "The database is being replaced"


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """Device and inode of the database, and the inode of its log; None where there is no such file."""

    database: tuple[int, int] | None
    log: int | None


class SqliteFiles:
    """The files at `path`, as they were when the connections of this process opened them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._index = path.with_name(path.name + "-shm")
        self._held: OpenFiles | None = None
        self.overwriting = Overwriting(path, self._log, self._index)

    def are_replaced(self, *, has_connections: bool) -> bool:
        """Whether other files have taken the names; False until a connection has opened them.

        `has_connections`: whether this process has any. The last connection removes the log when it is closed.
        """
        now = self._now()
        held = self._held
        if held is None or held.database is None:
            self._held = now if now.database is not None else None
            return False
        # The log appears with the first read.
        may_differ_in_log = held.log is None or not has_connections
        if now.database == held.database and may_differ_in_log:
            self._held = now
            return False
        return now != held

    def settle(self) -> None:
        """Prepare what was put in place for being opened. The caller holds the write lock.

        Raises `DatabaseReplacedError` while the file is missing or still being copied.
        """
        now = self._now()
        held = self._held or now
        is_held_log = now.log is not None and now.log == held.log
        self._check_whole(also=[self._log] if is_held_log else [])
        if now.database == held.database:
            # Overwritten in place, whether or not its log was removed. The connections of this process keep the old log
            # with the number of the database file, so the content gets a file of its own.
            _put_into_own_file(self._path)
        if is_held_log:
            # The log of the file that is gone, unless it was overwritten with that of the new one. Another process may
            # have opened the new file: its log has another number.
            if self.overwriting.is_log_overwritten():
                _put_into_own_file(self._log)
            else:
                self._log.unlink(missing_ok=True)
            self._index.unlink(missing_ok=True)

    def note(self) -> None:
        """Note the files that connections have just opened."""
        self._held = self._now()
        self.overwriting.forget()

    def _now(self) -> OpenFiles:
        database = log = None
        with suppress(FileNotFoundError):
            status = os.stat(self._path)  # noqa: PTH116  before every write: pathlib takes three times as long
            database = status.st_dev, status.st_ino
        with suppress(FileNotFoundError):
            log = os.stat(self._log).st_ino  # noqa: PTH116  see above
        return OpenFiles(database, log)

    def _check_whole(self, also: Sequence[Path]) -> None:
        """Raise `DatabaseReplacedError` unless the file has the size that its header states and is quiet.

        `also`: other files that have to be quiet.
        """
        try:
            # Never closed: that would release the locks of all connections of this process to the file (POSIX).
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise DatabaseReplacedError("the database file is gone; put it back") from None
        header, status = os.pread(descriptor, 100, 0), os.fstat(descriptor)
        # https://www.sqlite.org/fileformat2.html#the_database_header: the page size at 16 (1: 65,536), the number of
        # pages at 28.
        page_bytes = int.from_bytes(header[16:18], "big")
        n_bytes = (1 << 16 if page_bytes == 1 else page_bytes) * int.from_bytes(header[28:32], "big")
        is_whole = header.startswith(MAGIC) and status.st_size >= n_bytes
        # The times of change, since a copy may keep that of modification.
        changed_at = max(status.st_ctime, *(path.stat().st_ctime for path in also), 0.0)
        # A change ahead of the clock is as old as one long past: the clock was set back.
        if not is_whole or 0 <= time.time() - changed_at < QUIET_SECONDS:
            raise DatabaseReplacedError("the database file is being replaced; try again")


def _put_into_own_file(path: Path) -> None:
    copy = path.with_name(path.name + ".copy")
    shutil.copy2(path, copy)
    with copy.open("rb") as file:
        os.fsync(file.fileno())
    copy.replace(path)
