"""Arrays in mapped files, for runs that are larger than memory.

The pages of a mapped file count as resident memory while they are used. They are dropped (`madvise`) whenever the
resident memory of the process comes near its bound: a thread looks all the time, and `relieve` looks between two
blocks. What was dropped is still in the file, and mostly in the page cache of the system, from where the next access
brings it back; so this may happen at any moment, and no result depends on it.

The files have no names: the system removes them as soon as the run ends, also after a kill.
"""

import errno
import mmap
import os
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from app.errors import StorageFullError

SCRATCH_FOLDER = "scratch"
"""Below the data folder."""

BLOCK = 1 << 20
"""Elements that are walked at a time: temporary arrays of some MB."""

DROPPED_FROM = 0.6
"""The share of the bound from which pages are dropped. The rest is for what is read until the next look."""

LEAST_DROPPED = 48 << 20
"""Bytes that have come in since the last drop, at least."""

LOOK_SECONDS = 0.05

SORTED_SHARE, BYTES_SORTED = 1 / 8, 16
"""The share of the bound that a sort may take, and what it takes for an element."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """The resident memory of this process, pages of files included."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123  read twenty times a second
        return int(file.read().split()[1]) * _PAGE


@dataclass
class Scratch:
    """Arrays in files of the folder `folder`, which keep the resident memory of the process below `most_bytes`."""

    folder: Path
    most_bytes: int
    block: int = BLOCK
    _maps: "weakref.WeakSet[mmap.mmap]" = field(default_factory=weakref.WeakSet)
    _left: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def sorted_at_once(self) -> int:
        return max(self.block, int(self.most_bytes * SORTED_SHARE) // BYTES_SORTED)

    def empty(self, n: int, dtype: DTypeLike) -> NDArray[Any]:
        """(n,) zeros in a new file. Raises `StorageFullError` where the disk has no room for it."""
        size = n * np.dtype(dtype).itemsize
        if not size:
            return np.empty(n, dtype)
        with tempfile.TemporaryFile(dir=self.folder) as file:
            # Without it, a write to a mapped page would kill the process where the disk is full.
            with _full_disk_named(size):
                os.posix_fallocate(file.fileno(), 0, size)
            return self.mapped(file.fileno(), n, dtype)

    def mapped(self, descriptor: int, n: int, dtype: DTypeLike) -> NDArray[Any]:
        """(n,) the content of an open file."""
        if not n:
            return np.empty(0, dtype)
        mapped = mmap.mmap(descriptor, n * np.dtype(dtype).itemsize)
        with self._lock:
            self._maps.add(mapped)
        return np.frombuffer(mapped, dtype)

    def relieve(self) -> None:
        # Where what is left after a drop is near the bound by itself, pages are not dropped again for every block.
        if resident_bytes() > max(DROPPED_FROM * self.most_bytes, self._left + LEAST_DROPPED):
            self.drop()

    def drop(self) -> None:
        """Drops the pages of all arrays."""
        with self._lock:
            maps = list(self._maps)
        for mapped in maps:
            mapped.madvise(mmap.MADV_DONTNEED)
        self._left = resident_bytes()

    def watch(self, stopped: threading.Event) -> None:
        """Looks at the memory until `stopped`."""
        while not stopped.wait(LOOK_SECONDS):
            self.relieve()


@contextmanager
def scratch(data_dir: Path, most_bytes: int) -> Iterator[Scratch]:
    """A scratch below the data folder, watched by a thread."""
    root = data_dir / SCRATCH_FOLDER
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    made, stopped = Scratch(root, most_bytes), threading.Event()
    watcher = threading.Thread(target=made.watch, args=(stopped,), name="scratch", daemon=True)
    watcher.start()
    try:
        yield made
    finally:
        stopped.set()
        watcher.join()


@contextmanager
def _full_disk_named(size: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            message = f"training needs {max(size >> 20, 1)} MiB more of free disk for its scratch files"
            raise StorageFullError(message) from error
        raise


class GrowingArray:
    """An array in a file that is written from beginning to end, and mapped then. It is closed in either case."""

    def __init__(self, folder: Path, dtype: DTypeLike) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  mapped and closed in `finish`
        self._dtype = np.dtype(dtype)
        self.n = 0

    def append(self, part: NDArray[Any]) -> None:
        """Raises `StorageFullError`."""
        with _full_disk_named(part.nbytes):
            self._file.write(np.ascontiguousarray(part, self._dtype).data.cast("B"))
        self.n += len(part)

    def close(self) -> None:
        self._file.close()

    def finish(self, scratch: Scratch) -> NDArray[Any]:
        """(n,) all that was appended; its pages are dropped as those of other arrays of `scratch`."""
        with _full_disk_named(0):
            self._file.flush()
            return scratch.mapped(self._file.fileno(), self.n, self._dtype)
