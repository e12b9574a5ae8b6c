"""Where the bytes of an input come from: a file on disk, a part of it, or an unpacked copy without a name.

Every source can be read from its start any number of times. Archives come from outside, so what is unpacked from one
file on disk is limited as a whole, however deeply its archives are nested.
"""

import io
import os
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from app.errors import InvalidInputError
from app.intake.files.table_writers import writing_in

MAX_UNPACKED_BYTES = 64 << 30
MAX_RATIO = 150
"""Largest accepted ratio of unpacked to packed size: ratings as text compress 3 to 40 times, a zip bomb 1,000 times."""
ALWAYS_ALLOWED_BYTES = 16 << 20
"""Any packed file may expand to this size, because small files of repeated rows can exceed `MAX_RATIO`."""

BUFFER_BYTES = 1 << 18
# A writer that appends to a log may have stored a part of its last line; the rest of that line is searched this far.
_MAX_REST_BYTES = 1 << 20


@dataclass(slots=True)
class ByteCounter:
    """Number of bytes read from a file since it was last opened; the progress display is based on it."""

    bytes_read: int = 0


class UnpackLimit:
    """How far the data of one file on disk may expand, all members and nested archives together.

    `display_name`: the name of the file on disk. `packed_size`: its size in bytes.

    `n_copied`: number of bytes that were unpacked to temporary copies.
    """

    def __init__(self, display_name: str, packed_size: int) -> None:
        self._display_name = display_name
        # max_bytes = min(64 GiB, max(16 MiB, 150 * packed_size))
        self._max_bytes = min(MAX_UNPACKED_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * packed_size))
        self.n_copied = 0

    def check(self, n_bytes: int) -> None:
        """Raise `InvalidInputError` where `n_bytes` were unpacked and fewer are allowed."""
        # The count of bytes is the only reliable limit: the sizes that an archive states can be forged.
        if n_bytes > self._max_bytes:
            raise InvalidInputError(
                f"{self._display_name} was refused as a possible zip bomb: it unpacks to more than"
                f" {self._max_bytes >> 20} MiB, far more than a file of ratings; where you trust it, unpack it first",
                field="path",
            )


class ByteSource(Protocol):
    """Bytes that can be read from their start any number of times.

    `size`: number of bytes that a counter reaches; a size that an archive states may be wrong.
    """

    @property
    def size(self) -> int: ...

    def open(self, counter: ByteCounter) -> IO[bytes]:
        """Open the unpacked bytes and add to `counter` while they are read."""
        ...


class CountedStream(io.RawIOBase):
    """A raw binary stream that counts the bytes read from `stream`, and stops the expansion of a zip bomb.

    `counter`: counts the bytes; None where the bytes below `stream` are counted.
    `limit`: the limit of what is unpacked; None where `stream` is not unpacked.
    `below`: a stream that `stream` reads and does not close.
    `max_read`: number of bytes to ask for at a time; None for as many as the caller wants.

    Reading raises `InvalidInputError` beyond the limit.
    """

    def __init__(
        self,
        stream: IO[bytes],
        counter: ByteCounter | None,
        limit: UnpackLimit | None,
        *,
        below: IO[bytes] | None = None,
        max_read: int | None = None,
    ) -> None:
        super().__init__()
        self._stream = stream
        self._below = below
        self._counter = counter
        self._limit = limit
        self._max_read = max_read
        self._n_read = 0

    def buffered(self) -> io.BufferedReader:
        return io.BufferedReader(self, BUFFER_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(min(len(buffer), self._max_read or len(buffer)))
        self._n_read += len(data)
        if self._counter is not None:
            self._counter.bytes_read += len(data)
        if self._limit is not None:
            self._limit.check(self._n_read)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        if self._below is not None:
            self._below.close()
        super().close()


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A regular file as it was found.

    `size`: in bytes, at that time; bytes appended later are not read. `device`, `inode`: identify the file.
    """

    path: Path
    size: int
    device: int
    inode: int

    def everything(self) -> "ByteRange":
        return ByteRange(self, 0, self.size)

    def descriptor(self) -> int:
        """Open the file; raises `OSError` where it is gone, and `EOFError` where another file has its name."""
        # Without O_NONBLOCK, opening a FIFO that took the place of the file would wait for a writer.
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != (self.device, self.inode):
            os.close(descriptor)
            raise EOFError("another file took its place while it was read")
        return descriptor

    def end_of_line_at(self, descriptor: int, end: int) -> int:
        """Return `end`, or the end of its line where the file grew since and `end` is within a line."""
        has_grown = end == self.size > 0 and os.fstat(descriptor).st_size > end
        if not has_grown or os.pread(descriptor, 1, end - 1) == b"\n":
            return end
        # A cut line could be stored wrong: a rating of 45 as 4.
        return end + os.pread(descriptor, _MAX_REST_BYTES, end).find(b"\n") + 1


class TemporaryCopies:
    """Unpacked copies in one temporary file without a name, which vanishes when it is closed or the process ends.

    Archives in archives need random access, and so do Parquet files in archives. One file holds all copies, so that
    their number is not limited by that of open files.

    `size`: number of bytes in the temporary file.
    """

    def __init__(self) -> None:
        self.size = 0
        self._file: IO[bytes] | None = None
        self._copied: dict[ByteSource, ByteRange] = {}

    def of(self, source: ByteSource, limit: UnpackLimit) -> "ByteRange":
        """Return `source` with random access; its bytes are copied once, unless it has random access already.

        Raises `InvalidInputError` beyond the limit, and `StorageFullError` where the copy finds no room.
        """
        if isinstance(source, ByteRange):
            return source
        if source not in self._copied:
            start = self.size
            with source.open(ByteCounter()) as stream:
                while data := stream.read(BUFFER_BYTES):
                    self.append(data, limit)
            self._copied[source] = ByteRange(self, start, self.size - start)
        return self._copied[source]

    def append(self, data: bytes, limit: UnpackLimit) -> None:
        """Add bytes at the end of the temporary file; raises as `of` does."""
        limit.n_copied += len(data)
        limit.check(limit.n_copied)
        with writing_in(Path(tempfile.gettempdir())):
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  open as long as this object lives
                weakref.finalize(self, self._file.close)
            self._file.write(data)
            # Ranges are read through descriptors, which do not see what is still buffered.
            self._file.flush()
        self.size += len(data)

    def descriptor(self) -> int:
        """Return a new descriptor of the temporary file."""
        # Nothing but empty files was copied where there is no file yet.
        return os.open(os.devnull, os.O_RDONLY) if self._file is None else os.dup(self._file.fileno())

    def end_of_line_at(self, _descriptor: int, end: int) -> int:
        """Return `end`, because a copy does not grow; see `DiskFile`."""
        return end


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A range of the bytes of a file, which can be read at any position."""

    file: DiskFile | TemporaryCopies
    start: int
    size: int

    def cut(self, start: int, size: int) -> "ByteRange":
        """Return a part of this range; its bytes beyond the end of the file are missing when it is read."""
        return ByteRange(self.file, self.start + start, size)

    def open(self, counter: ByteCounter) -> io.BufferedReader:
        """Open the range as a stream that can seek; raises as `DiskFile.descriptor` does.

        Reading raises `EOFError` where the file has become shorter than the range.
        """
        descriptor = self.file.descriptor()
        end = self.file.end_of_line_at(descriptor, self.start + self.size)
        return io.BufferedReader(_RangeStream(self.file, self.start, end, counter, descriptor), BUFFER_BYTES)

    def open_for_each_read(self) -> io.RawIOBase:
        """As `open`, but the file is open only while it is read, so that many archives can be in use."""
        return _RangeStream(self.file, self.start, self.start + self.size, ByteCounter(), None)


class _RangeStream(io.RawIOBase):
    """A raw binary stream of the bytes from `start` to `end` of a file.

    `descriptor`: of the open file, which this stream then owns; None opens the file for each read.
    """

    def __init__(
        self, file: DiskFile | TemporaryCopies, start: int, end: int, counter: ByteCounter, descriptor: int | None
    ) -> None:
        super().__init__()
        self._file = file
        self._start = self._position = start
        self._end = end
        self._counter = counter
        self._descriptor = descriptor

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        if base + offset < self._start:
            raise OSError("a position lies before its start")
        self._position = base + offset
        return self._position - self._start

    def readinto(self, buffer: Any) -> int:
        n_wanted = min(len(buffer), self._end - self._position)
        if n_wanted <= 0:
            return 0
        data = self._read(n_wanted)
        if not data:
            raise EOFError("it became shorter while it was read")
        self._position += len(data)
        self._counter.bytes_read += len(data)
        buffer[: len(data)] = data
        return len(data)

    def _read(self, n_bytes: int) -> bytes:
        # `pread` leaves the offset alone, which duplicates of a descriptor share.
        if self._descriptor is not None:
            return os.pread(self._descriptor, n_bytes, self._position)
        descriptor = self._file.descriptor()
        try:
            return os.pread(descriptor, n_bytes, self._position)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        if not self.closed and self._descriptor is not None:
            os.close(self._descriptor)
        super().close()
