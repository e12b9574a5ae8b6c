"""Which files of a SQLite database a process has open, and whether others were put in their place.

SQLite opens files by name and keeps them by number (inode). A file that is renamed or copied anew to the name is
another file: what is written to the open one is lost. The write-ahead log (`-wal`) belongs to one database file; it
would damage any other that takes the name. The index of the log (`-shm`) holds the locks: processes with different
indexes of one log would damage it.
"""

import fcntl
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.errors import StorageUnavailableError, UnavailableError
from app.store.overwriting import Overwriting

log = structlog.get_logger()

PRIVATE = 0o600
MAGIC = b"SQLite format 3\0"
RESTORING, COPYING = ".restoring", ".copy"
"""Copies of the database beside it: that which a restore prepares, and that which an overwritten file is put into."""

OF_A_COPY = ("-wal", "-shm", "-journal", ".lock", ".reserve", "")
"""The files of a copy. The copy itself is removed last, as it is what a restore locks."""

QUIET_SECONDS = 0.2
"""A file that changed within this time may still be being copied."""

GONE = "the database file is gone: put it back, or put a backup back with `reckon restore`"
DAMAGED = "the database is damaged, or not a database: put a backup back with `reckon restore`"


class DatabaseReplacedError(StorageUnavailableError):
    """The file was replaced while it was open. It is opened again within a poll; nothing is written until then."""

    type = "database-replaced"
    title = "The database is being replaced"


class DatabaseDamagedError(StorageUnavailableError):
    """The file is no sound database. Nothing is written until it is put right."""

    type = "database-damaged"
    title = "The database is damaged"

    def __init__(self, detail: str = DAMAGED) -> None:
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class OpenFiles:
    """Device and inode of the database, and the inodes of its log and of its index; None where there is no file."""

    database: tuple[int, int] | None
    log: int | None
    index: int | None


class SqliteFiles:
    """The files at `path`, as they were when the connections of this process opened them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._index = path.with_name(path.name + "-shm")
        self._restoring = path.with_name(path.name + RESTORING)
        self._copying = path.with_name(path.name + COPYING)
        self._held: OpenFiles | None = None
        self.overwriting = Overwriting(path, self._log, self._index)

    def prepare(self) -> None:
        """To be called before a connection is opened: the files hold secrets, so that only their owner may read them.

        SQLite gives the log and its index the mode of the database. Raises `DatabaseReplacedError` if the database that
        other connections have open is gone: SQLite would make an empty one.
        """
        if self._held is None or self._held.database is None:
            make_private_file(self._path)
        elif not self._path.exists():
            raise DatabaseReplacedError(GONE)
        for path in (self._path, self._log, self._index):
            _narrow(path)

    def are_replaced(self, *, has_connections: bool) -> bool:
        """Whether other files have taken the names; False until a connection has opened them.

        `has_connections`: whether this process has any. The last connection removes the log when it is closed.
        """
        now = self._now()
        held = self._held
        if held is None or held.database is None:
            self._held = now if now.database is not None else None
            return False
        # The log and its index appear with the first read.
        may_differ = held.log is None or held.index is None or not has_connections
        if now.database == held.database and may_differ:
            self._held = now
            return False
        return now != held

    def check(self, *, has_connections: bool) -> None:
        """Raise `DatabaseReplacedError` if the files were replaced or overwritten. The caller holds the write lock."""
        if self.are_replaced(has_connections=has_connections):
            if self._now().database is None:
                raise DatabaseReplacedError(GONE)
        elif not self.overwriting.is_overwritten():
            return
        raise DatabaseReplacedError("the database file was replaced and is being opened again; try again")

    def settle(self) -> None:
        """Prepare what was put in place for being opened. The caller holds the write lock.

        Raises `DatabaseReplacedError` while the file is missing or still being copied, and `DatabaseDamagedError`
        unless it is sound. Until then no file is changed: what is there may be needed to put it right.
        """
        now = self._now()
        held = self._held or now
        is_held_log = now.log is not None and now.log == held.log
        self._check_whole(also=[self._log] if is_held_log else [])
        if not is_held_log:
            # Another process may have opened the new file already.
            if now.database == held.database:
                self._put_into_own_file(with_log=False)
            return
        # The log is of the file that is gone, unless it was overwritten with that of the new one, or the index alone is
        # another one.
        if now.database == held.database and (
            self.overwriting.is_log_overwritten() or not self.overwriting.is_overwritten()
        ):
            self._put_into_own_file(with_log=True)
            self._remove_log()
            return
        check_sound(self._path)
        # First: a crash after this leaves the new file without a log, which is what is wanted.
        self._remove_log()
        if now.database == held.database:
            self._put_into_own_file(with_log=False)

    def _remove_log(self) -> None:
        self._log.unlink(missing_ok=True)
        self._index.unlink(missing_ok=True)

    def _put_into_own_file(self, *, with_log: bool) -> None:
        """Give the content of the database, and of its log, a file of its own.

        The connections of this process keep the old log and the old index with the number of the file.
        """
        copy = self._copying
        copied = {self._path: copy} | ({self._log: copy.with_name(copy.name + "-wal")} if with_log else {})
        try:
            for path, target in copied.items():
                shutil.copy2(path, target)
            if with_log:
                _merge_log(copy)
            check_sound(copy)
            with copy.open("rb") as file:
                os.fsync(file.fileno())
            copy.replace(self._path)
            sync_folder(self._path.parent)
        finally:
            remove_copy(copy)

    def have_leftovers(self) -> bool:
        """Whether there is a copy of the database beside it, which may be in use."""
        return self._restoring.exists() or self._copying.exists()

    def remove_leftovers(self) -> bool:
        """Remove the copies that killed processes have left. False: a restore is in progress, whose copy stays.

        The caller holds the write lock.
        """
        remove_copy(self._copying)
        return _remove_unlocked(self._restoring)

    def note(self) -> None:
        """Note the files that connections have just opened."""
        self._held = self._now()
        self.overwriting.forget()

    def _now(self) -> OpenFiles:
        database = log = index = None
        with suppress(FileNotFoundError):
            status = os.stat(self._path)  # noqa: PTH116  before every write: pathlib takes three times as long
            database = status.st_dev, status.st_ino
        with suppress(FileNotFoundError):
            log = os.stat(self._log).st_ino  # noqa: PTH116  see above
        with suppress(FileNotFoundError):
            index = os.stat(self._index).st_ino  # noqa: PTH116  see above
        return OpenFiles(database, log, index)

    def _check_whole(self, also: Sequence[Path]) -> None:
        """Raise `DatabaseReplacedError` unless the file has the size that its header states and is quiet.

        `also`: other files that have to be quiet.
        """
        try:
            descriptor = self.overwriting.descriptor(self._path, self._path.stat().st_ino)
        except FileNotFoundError:
            raise DatabaseReplacedError(GONE) from None
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


def make_private_file(path: Path) -> None:
    """Make an empty file that only its owner may read, unless there is one: SQLite itself would let others read it."""
    with suppress(OSError):  # a folder that cannot be written to, of which SQLite says more
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))


@contextmanager
def restored_copy(path: Path) -> Iterator[Path]:
    """An empty file in which a restore prepares what takes the place of the database at `path`; removed at the end.

    It is locked, so that it can be told from one that a killed restore has left. Such a one is removed first. Raises
    `UnavailableError` while another restore is in progress.
    """
    copy = path.with_name(path.name + RESTORING)
    if not _remove_unlocked(copy):
        raise UnavailableError("another restore is in progress")
    descriptor = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield copy
    finally:
        remove_copy(copy)
        os.close(descriptor)


def _remove_unlocked(copy: Path) -> bool:
    """Remove a copy of the database. False: it is locked."""
    try:
        descriptor = os.open(copy, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        remove_copy(copy)
        return True
    finally:
        os.close(descriptor)


def remove_copy(copy: Path) -> None:
    """Remove a copy of the database and all files beside it that SQLite or a `SqliteDialect` makes."""
    for suffix in OF_A_COPY:
        copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the renames and removals in the folder survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _narrow(path: Path) -> None:
    with suppress(FileNotFoundError):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & ~PRIVATE and path.is_file():
            try:
                path.chmod(mode & PRIVATE)
            except OSError as error:  # of another owner, or on a file system that is read-only
                log.warning("others can read the database", file=path.name, mode=f"{mode:o}", why=error.strerror)
            else:
                log.warning("others could read the database", file=path.name, mode=f"{mode:o}", now=f"{PRIVATE:o}")


def check_sound(path: Path) -> None:
    """Raise `DatabaseDamagedError` unless the file is a database without damage; its log is not read."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error:
        raise DatabaseDamagedError from None
    if answer != "ok":
        raise DatabaseDamagedError


def _merge_log(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        raise DatabaseDamagedError from None
