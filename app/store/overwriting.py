"""Notices that the database file was overwritten in place while its write-ahead log is in use, as by `cp`.

The file keeps its inode then, and SQLite would go on to apply the log of the file before to the pages of the new one,
which damages both. In WAL mode checkpoints alone change the database file, and each leaves its traces in the index of
the log (https://www.sqlite.org/walformat.html#the_wal_index_file_format). A change without such traces is by another
program.
"""

import os
import sys
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SALTS, BACKFILLED, ATTEMPTED = slice(32, 40), slice(96, 100), slice(128, 132)
"""In the index: the salts, renewed when the log starts anew; how many of its frames a checkpoint has copied into the
database, and how many it has begun to copy."""

INDEX_BYTES = 132
SALTS_KEPT = slice(0, 8)
PAGE_BYTES, N_FRAMES = slice(14, 16), slice(16, 20)
LAST_CHECKSUM = slice(24, 28), slice(28, 32)
"""In the index, in the byte order of the machine: the size of a page (1: 65,536), how many frames the log has, and the
checksum over all of them."""

LOG_HEADER_BYTES, LOG_SALTS = 32, slice(16, 24)
FRAME_HEADER_BYTES, FRAME_SALTS, FRAME_CHECKSUM = 24, slice(8, 16), slice(16, 24)
PART_BYTES = 4_096
N_PARTS = 2_000
"""Compared of a file, evenly spaced; all of a file up to 8 MB."""


class Descriptors:
    """Open files of this process by inode, each opened once.

    To close one releases the locks of all connections of the process to the file (POSIX), so a file is closed only when
    no thread of the process watches it.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._opened: dict[int, tuple[int, int]] = {}  # descriptor, and how many watch

    def open(self, path: Path, inode: int) -> int:
        with self._changing:
            descriptor, n_watching = self._opened.get(inode) or (os.open(path, os.O_RDONLY | os.O_CLOEXEC), 0)
            self._opened[inode] = descriptor, n_watching + 1
            return descriptor

    def close(self, inode: int) -> None:
        with self._changing:
            descriptor, n_watching = self._opened.pop(inode)
            if n_watching > 1:
                self._opened[inode] = descriptor, n_watching - 1
            else:
                os.close(descriptor)


_DESCRIPTORS = Descriptors()
"""Of the process, as the locks are."""


@dataclass(frozen=True, slots=True)
class FileState:
    """`content`: inode, modification time and size of the database. `checkpoints`: inode and traces of the index.

    `is_log_wrong`: whether the log does not begin and end with what its index says.
    """

    content: tuple[int, int, int]
    checkpoints: tuple[int, bytes]
    is_log_wrong: bool


class Overwriting:
    """Watches the database file at `path` for one process."""

    def __init__(self, path: Path, log: Path, index: Path) -> None:
        self._path = path
        self._log = log
        self._index = index
        self._descriptors: dict[int, int] = {}
        self._last: FileState | None = None
        self._digest = 0

    def is_unchanged(self) -> bool:
        """Whether there was neither a checkpoint nor an overwriting since the last `is_overwritten`."""
        now = self._now()
        return now == self._last and (now is None or not now.is_log_wrong)

    def is_overwritten(self) -> bool:
        """Whether the file has other content since the last call, and not by a checkpoint.

        The caller holds the write lock, so that no checkpoint is running. True until `forget`.
        """
        now, last = self._now(), self._last
        if now is not None and now.is_log_wrong:
            return True
        if now == last:
            return False
        digest = 0 if now is None else self._digest_of(now)
        # The digest tells a file that was touched from one that was overwritten.
        if now is not None and last is not None and now.checkpoints == last.checkpoints and digest != self._digest:
            return True
        self._last, self._digest = now, digest
        return False

    def is_log_overwritten(self) -> bool:
        """Whether the log is another one than that of the index, or an earlier state of it."""
        now = self._now()
        with suppress(FileNotFoundError), self._log.open("rb") as file:
            # The log itself is never locked, so it may be closed.
            salts = file.read(LOG_HEADER_BYTES)[LOG_SALTS]
            return now is not None and (now.is_log_wrong or (salts != b"" and salts != now.checkpoints[1][SALTS_KEPT]))
        return False

    def forget(self) -> None:
        """Take the file as it is at the next call."""
        self._last = None

    def _now(self) -> FileState | None:
        """None where there is no index: then there is no log to be applied."""
        with suppress(FileNotFoundError):
            index = os.stat(self._index)  # noqa: PTH116  before every write: pathlib takes three times as long
            traces = os.pread(self.descriptor(self._index, index.st_ino), INDEX_BYTES, 0)
            database = os.stat(self._path)  # noqa: PTH116  see above
            return FileState(
                (database.st_ino, database.st_mtime_ns, database.st_size),
                (index.st_ino, traces[SALTS] + traces[BACKFILLED] + traces[ATTEMPTED]),
                is_log_wrong=self._is_log_wrong(traces),
            )
        return None

    def _is_log_wrong(self, traces: bytes) -> bool:
        """Whether the log is shorter than its index says, or begins or ends with other frames.

        The checksum of the last frame covers all before it.
        """
        page_bytes, n_frames = (int.from_bytes(traces[each], sys.byteorder) for each in (PAGE_BYTES, N_FRAMES))
        if n_frames == 0:
            return False
        log = os.stat(self._log)  # noqa: PTH116  before every write: pathlib takes three times as long
        descriptor = self.descriptor(self._log, log.st_ino)
        frame_bytes = FRAME_HEADER_BYTES + (1 << 16 if page_bytes == 1 else page_bytes)
        header = os.pread(descriptor, LOG_HEADER_BYTES, 0)
        last = os.pread(descriptor, frame_bytes, LOG_HEADER_BYTES + (n_frames - 1) * frame_bytes)
        checksum = b"".join(int.from_bytes(traces[each], sys.byteorder).to_bytes(4, "big") for each in LAST_CHECKSUM)
        return (
            len(last) < frame_bytes
            or not header[LOG_SALTS] == last[FRAME_SALTS] == traces[SALTS]
            or last[FRAME_CHECKSUM] != checksum
        )

    def _digest_of(self, state: FileState) -> int:
        inode, _, n_bytes = state.content
        descriptor = self.descriptor(self._path, inode)
        step = max(PART_BYTES, n_bytes // N_PARTS // PART_BYTES * PART_BYTES)
        digest = n_bytes
        for start in range(0, n_bytes, step):
            digest = zlib.crc32(os.pread(descriptor, PART_BYTES, start), digest & 0xFFFFFFFF)
        return digest

    def descriptor(self, path: Path, inode: int) -> int:
        """The open file at `path`, whose inode this is; it stays open until `close`, see `Descriptors`."""
        if inode not in self._descriptors:
            self._descriptors[inode] = _DESCRIPTORS.open(path, inode)
        return self._descriptors[inode]

    def close(self) -> None:
        """To be called after the connections are closed."""
        while self._descriptors:
            _DESCRIPTORS.close(self._descriptors.popitem()[0])
