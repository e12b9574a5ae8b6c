"""Files that are on the disk once they are closed. Every write of a snapshot passes through here."""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from app.snapshots.manifest import FileDigest


class DurableFile:
    """A new file, written once: hashed while it is written, fsynced when it is closed. Links are never followed.

    Writes go straight to `os.write`: callers hand over whole arrays or large pieces.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._sha256 = hashlib.sha256()
        self._size = 0

    def write(self, content: bytes | bytearray | memoryview) -> int:
        remaining = memoryview(content).cast("B")
        self._sha256.update(remaining)
        self._size += len(remaining)
        # The system may write less than it is given.
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
            if kind is None:
                os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: without it a rename or a new file may be lost at a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
