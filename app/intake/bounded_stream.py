"""A decompressed stream that refuses to grow beyond reason: what a zip bomb meets."""

import io
from gzip import GzipFile
from typing import IO, Any

from app.errors import InvalidInputError

MAX_UNPACKED_BYTES = 64 << 30
MAX_RATIO = 150
"""Ratings as text compress 3 to 40 times, a bomb 1,000 times."""
ALWAYS_ALLOWED_BYTES = 16 << 20


class BoundedStream(io.RawIOBase):
    """Reads `stream`, unpacked from `packed_size` bytes; raises `InvalidInputError` past the size and ratio allowed."""

    def __init__(self, stream: IO[bytes] | GzipFile, packed_size: int, shown: str) -> None:
        super().__init__()
        self._stream = stream
        self._shown = shown
        self._allowed = min(MAX_UNPACKED_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * packed_size))
        self._seen = 0

    def buffered(self) -> io.BufferedReader:
        return io.BufferedReader(self, 1 << 18)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._stream.read(len(buffer))
        self._seen += len(piece)
        if self._seen > self._allowed:
            raise InvalidInputError(
                f"{self._shown} unpacks to more than {self._allowed >> 20} MiB, far more than ratings would: refused",
                field="path",
            )
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._stream.close()
        super().close()
