"""A stream that counts what is read and, unpacking, refuses to grow beyond reason: what a zip bomb meets."""

import io
from dataclasses import dataclass
from typing import IO, Any

from app.errors import InvalidInputError

MAX_UNPACKED_BYTES = 64 << 30
MAX_RATIO = 150
"""Ratings as text compress 3 to 40 times, a bomb 1,000 times."""
ALWAYS_ALLOWED_BYTES = 16 << 20


@dataclass(slots=True)
class Meter:
    """How much of a file was read: progress is told by it."""

    bytes_read: int = 0


class CountedStream(io.RawIOBase):
    """Reads `stream` from its start; raises `InvalidInputError` past the size and ratio allowed.

    `packed_size`: the bytes it is unpacked from; None: it is not packed, and may be of any size.
    """

    def __init__(self, stream: IO[bytes], meter: Meter, shown: str, packed_size: int | None) -> None:
        super().__init__()
        self._stream = stream
        self._meter = meter
        self._shown = shown
        self._allowed: int | None = None
        if packed_size is not None:
            self._allowed = min(MAX_UNPACKED_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * packed_size))
        meter.bytes_read = 0

    def buffered(self) -> io.BufferedReader:
        return io.BufferedReader(self, 1 << 18)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._stream.read(len(buffer))
        self._meter.bytes_read += len(piece)
        if self._allowed is not None and self._meter.bytes_read > self._allowed:
            raise InvalidInputError(
                f"{self._shown} unpacks to more than {self._allowed >> 20} MiB, far more than ratings would: refused",
                field="path",
            )
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._stream.close()
        super().close()
