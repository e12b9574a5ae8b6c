"""Keeps room on the disk of a SQLite database for deletions and for emptying its log.

SQLite appends every change to the log (`-wal`) first, a deletion too, and empties the log by copying its pages into the
database file, which may have to grow for that. So a database whose log has filled the disk could neither delete nor
shrink. Two things prevent this. Writes are refused while less than `RESERVE_BYTES` would be left after the log is
copied; and a file of that size holds room that other programs cannot take, until a deletion or the log needs it.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from app.errors import StorageFullError, UnavailableError

log = structlog.get_logger()

RESERVE_BYTES = 4 << 20
RESERVE_SHARE = 16
"""The reserve is at most this part of the disk, so that a small one can be used."""

Checkpoint = Callable[[], None]
"""Copies the log into the database and empties it, as far as readers allow; raises `sqlite3.Error`."""


class DiskRoom:
    """Watches the disk of the database at `path` for one process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._reserve = path.with_name(path.name + ".reserve")
        self._is_low = False

    def release_if_full(self) -> None:
        """Before the database is opened, which takes some room itself."""
        free, reserve = self._free()
        if free < reserve // 2:
            self._reserve.unlink(missing_ok=True)

    def check(self, checkpoint: Checkpoint, *, uses_reserve: bool) -> None:
        """Raise `StorageFullError` if a write would take the room that is kept. The caller holds the write lock.

        `uses_reserve`: whether the write may take that room; `take_back` is to be called after it.
        """
        free, reserve = self._free()
        if free < self._needed(reserve):
            self._empty_log(checkpoint)
            free, reserve = self._free()
        if free >= self._needed(reserve):
            if self._is_low:
                log.info("the disk has room again", free_bytes=free)
                self._is_low = False
            if self._held() < reserve:
                self._hold(reserve)
            return
        if not self._is_low:
            log.warning("the disk is nearly full", free_bytes=free, advice="deletions pass; other writes are refused")
            self._is_low = True
        if not uses_reserve:
            raise StorageFullError("the disk of the database is nearly full; deletions still pass")
        if free < reserve // 2:
            self._reserve.unlink(missing_ok=True)

    def check_rewrite(self, n_bytes: int) -> None:
        """Raise `StorageFullError` unless VACUUM has room for a database that takes `n_bytes` then.

        It makes a copy in the folder of temporary files, and writes that to the log.
        """
        folder = temporary_folder()
        is_shared = folder.stat().st_dev == self._path.parent.stat().st_dev
        needed = {self._path.parent: 2 * n_bytes if is_shared else n_bytes}
        if not is_shared:
            needed[folder] = n_bytes
        for place, least in needed.items():
            disk = os.statvfs(place)
            free = disk.f_bavail * disk.f_frsize
            if free < least:
                raise StorageFullError(
                    f"to erase what deleted users have left, the database is written anew, which takes"
                    f" {_mebibytes(least)} of the disk of {place}, and {_mebibytes(free)} are free: make room there"
                    + ("" if is_shared and place != folder else ", or name another folder by SQLITE_TMPDIR")
                )

    def take_back(self, checkpoint: Checkpoint) -> None:
        """Before other programs take it: hold the reserve again, or what is left of it."""
        if self._is_low and self._held() == 0:
            self._empty_log(checkpoint)

    def _free(self) -> tuple[int, int]:
        """The free bytes of the disk, and the size of its reserve."""
        try:
            disk = os.statvfs(self._path.parent)
        except OSError as error:
            raise UnavailableError(f"the disk of the database cannot be read: {error.strerror}") from None
        return disk.f_bavail * disk.f_frsize, min(RESERVE_BYTES, disk.f_blocks * disk.f_frsize // RESERVE_SHARE)

    def _needed(self, reserve: int) -> int:
        """What must be free for a write that does not use the reserve."""
        # A quarter more before writes are accepted again, so that they do not stop and go.
        return _size_of(self._log) + 2 * reserve - self._held() + (reserve // 4 if self._is_low else 0)

    def _held(self) -> int:
        return _size_of(self._reserve)

    def _hold(self, n_bytes: int) -> None:
        with suppress(OSError):  # another program was faster, or the file system reserves nothing
            descriptor = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, n_bytes)
            finally:
                os.close(descriptor)

    def _empty_log(self, checkpoint: Checkpoint) -> None:
        if _size_of(self._log) > 0:
            try:
                checkpoint()
            except sqlite3.OperationalError:
                # The database had to grow. Where the room of the reserve is too small as well, the log stays as it is.
                self._reserve.unlink(missing_ok=True)
                with suppress(sqlite3.OperationalError):
                    checkpoint()
        free, reserve = self._free()
        if self._held() == 0 and (left := min(free, reserve)) > 0:
            self._hold(left)


def temporary_folder() -> Path:
    """Where SQLite makes temporary files (https://www.sqlite.org/tempfiles.html#temporary_file_storage_locations)."""
    named = [os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"), "/var/tmp", "/usr/tmp", "/tmp"]  # noqa: S108
    folders = [Path(each) for each in named if each]
    return next((each for each in folders if each.is_dir() and os.access(each, os.W_OK | os.X_OK)), Path())


def _mebibytes(n_bytes: int) -> str:
    return f"{-(-n_bytes >> 20):,} MiB"


def _size_of(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116  before every write: pathlib takes three times as long
    except FileNotFoundError:
        return 0
