"""Files that are on the disk once they are closed. Every write of a snapshot passes through here.

A write alone reaches the page cache of the system and is lost at a power cut, as is the entry of a new file in its
folder. So both are fsynced: first the content of every file, then the folder that lists them.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from app.snapshots.manifest import FileDigest


class DurableFile:
    """A new file, written once: hashed while it is written, fsynced when it is closed. Links are never followed.

    `is_synced`: False if `fsync_file` is called for it later. Writes go straight to `os.write`: callers hand over whole
    arrays or large pieces.
    """

    def __init__(self, path: Path, *, is_synced: bool = True) -> None:
        # O_EXCL and O_NOFOLLOW: an existing file or a link at this path is an error, never overwritten or followed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._path = path
        self._is_synced = is_synced
        self._descriptor = os.open(path, flags, 0o600)
        self._sha256 = hashlib.sha256()
        self._size = 0

    def write(self, content: bytes | bytearray | memoryview) -> int:
        # Hashed here, so that the digest is that of the written bytes and not of what a second read returns.
        remaining = memoryview(content).cast("B")
        self._sha256.update(remaining)
        self._size += len(remaining)
        # The system may write less than it is given.
        with _naming(self._path):
            while remaining:
                remaining = remaining[os.write(self._descriptor, remaining) :]
        return memoryview(content).nbytes

    @property
    def digest(self) -> FileDigest:
        return FileDigest(self._size, self._sha256.hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            # After an error the file is removed with its folder, so there is nothing to make durable.
            if kind is None and self._is_synced:
                with _naming(self._path):
                    os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)


def fsync_file(path: Path) -> None:
    """Make the content of a file durable that was written without that."""
    _fsync(path, os.O_NOFOLLOW)


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: without it a rename or a new file may be lost at a power cut."""
    # fsync of a file writes its content and not its name, which belongs to the folder (man 2 fsync).
    _fsync(folder, os.O_DIRECTORY)


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        with _naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Adds the path to an `OSError`: calls with a descriptor alone do not know it."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
