"""Resolves a path to the files to read: a file, the files of a folder (each plain or gzipped), or the members of a zip.

Archives come from outside, so streams limit how far compressed data may expand, and damage is reported as an error of
the input.
"""

import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from app.errors import InvalidInputError

MAX_MEMBERS = 1_000
MAX_UNPACKED_BYTES = 64 << 30
MAX_RATIO = 150
"""Largest accepted ratio of unpacked to packed size: ratings as text compress 3 to 40 times, a zip bomb 1,000 times."""
ALWAYS_ALLOWED_BYTES = 16 << 20
"""Any compressed file may expand to this size, because small files of repeated rows can exceed `MAX_RATIO`."""

_BUFFER_BYTES = 1 << 18
# zipfile raises NotImplementedError for a compression method that it does not support.
_DAMAGE_ERRORS = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError)


@dataclass(slots=True)
class ByteCounter:
    """Number of unpacked bytes read from a file since it was last opened; the progress display is based on it."""

    bytes_read: int = 0


class CountedStream(io.RawIOBase):
    """A raw binary stream that counts the bytes read from `stream` and stops the expansion of a zip bomb.

    `packed_size`: compressed size in bytes; None where `stream` is not compressed, which removes the limit.
    `display_name`: the name of the file in error messages.

    Reading raises `InvalidInputError` once more bytes were unpacked than the packed size allows.
    """

    def __init__(self, stream: IO[bytes], counter: ByteCounter, display_name: str, packed_size: int | None) -> None:
        super().__init__()
        self._stream = stream
        self._counter = counter
        self._display_name = display_name
        self._max_bytes: int | None = None
        if packed_size is not None:
            # max_bytes = min(64 GiB, max(16 MiB, 150 * packed_size))
            self._max_bytes = min(MAX_UNPACKED_BYTES, max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * packed_size))
        counter.bytes_read = 0

    def buffered(self) -> io.BufferedReader:
        return io.BufferedReader(self, _BUFFER_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        self._counter.bytes_read += len(data)
        # The count of bytes is the only reliable limit: the sizes in an archive's directory can be forged.
        if self._max_bytes is not None and self._counter.bytes_read > self._max_bytes:
            raise InvalidInputError(
                f"{self._display_name} was refused as a possible zip bomb:"
                f" it unpacks to more than {self._max_bytes >> 20} MiB, far more than a file of ratings",
                field="path",
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that can be read from its start any number of times.

    `name`: last part of the path in lower case, without `.gz`; layouts are recognised by it.
    `display_name`: the name shown in messages.
    `size`: unpacked size in bytes as the file or archive states it; it may be wrong and serves progress only.
    `path`: location on disk; None for zip members and gzipped files.
    `packed_size`: compressed size in bytes; None for files that are not compressed.
    `counter`: number of bytes read since the file was last opened.
    """

    name: str
    display_name: str
    size: int
    path: Path | None
    packed_size: int | None
    _open: Callable[[], IO[bytes]]
    counter: ByteCounter = field(default_factory=ByteCounter)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the unpacked file as a binary stream, positioned at its start.

        Raises `InvalidInputError`, also from within the `with` block, where the file cannot be read, is damaged or
        encrypted, or expands too far.
        """
        try:
            with CountedStream(self._open(), self.counter, self.display_name, self.packed_size).buffered() as stream:
                yield stream
        except _DAMAGE_ERRORS as error:
            raise InvalidInputError(f"{self.display_name} is damaged or cut short: {error}", field="path") from error
        except RuntimeError as error:
            # zipfile reports an encrypted member as a plain RuntimeError, recognisable only by its message.
            if "password" not in str(error):
                raise
            raise InvalidInputError(f"{self.display_name} is encrypted: unpack it first", field="path") from error
        except OSError as error:
            reason = error.strerror or error
            raise InvalidInputError(f"{self.display_name} cannot be read: {reason}", field="path") from error


def input_files(path: Path) -> list[InputFile]:
    """List the files at `path` in the order of their names; hidden files and subfolders are left out.

    Raises `InvalidInputError` where `path` does not exist, is empty, cannot be read, or is a damaged zip or one with
    more than `MAX_MEMBERS` members.
    """
    try:
        return _files_at(path)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}", field="path") from error


def _files_at(path: Path) -> list[InputFile]:
    if not path.exists():
        raise InvalidInputError(f"there is no file or folder {path}", field="path")
    if path.is_dir():
        return [_file_on_disk(entry, entry.name) for entry in sorted(path.iterdir()) if _is_visible_file(entry)]
    if path.stat().st_size == 0:
        raise InvalidInputError(f"{path} is empty", field="path")
    # The content is tested too, because a download may have lost its suffix; a damaged `.zip` gets a clearer message.
    if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        return _zip_members(path)
    return [_file_on_disk(path, path.name)]


def _is_visible_file(entry: Path) -> bool:
    return entry.is_file() and not entry.name.startswith(".")


def _file_on_disk(path: Path, display_name: str) -> InputFile:
    size = path.stat().st_size
    name = path.name.lower()
    if not name.endswith(".gz"):
        return InputFile(name, display_name, size, path, None, lambda: path.open("rb"))
    # RFC 1952: the last four bytes hold the unpacked size modulo 2^32, little-endian.
    with path.open("rb") as stream:
        stream.seek(-min(4, size), 2)
        unpacked_size = int.from_bytes(stream.read(), "little")
    return InputFile(name.removesuffix(".gz"), display_name, unpacked_size, None, size, lambda: _open_gzip(path))


def _open_gzip(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb")  # type: ignore[return-value]  # typeshed does not declare GzipFile as IO[bytes]


def _zip_members(path: Path) -> list[InputFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except zipfile.BadZipFile as error:
        raise InvalidInputError(f"{path} is a damaged zip: {error}", field="path") from error
    if len(infos) > MAX_MEMBERS:
        raise InvalidInputError(f"{path} holds {len(infos)} files; at most {MAX_MEMBERS} are accepted", field="path")
    # Windows tools may store names with backslashes.
    visible = [info for info in infos if not _is_system_file(PurePosixPath(info.filename.replace("\\", "/")))]
    return [_zip_member(path, info) for info in sorted(visible, key=lambda info: info.filename)]


def _is_system_file(stored: PurePosixPath) -> bool:
    """Whether a member is hidden or was added by macOS; `.` and `..` do not make a path hidden."""
    return any(part == "__MACOSX" or (part.startswith(".") and part.strip(".")) for part in stored.parts)


def _zip_member(path: Path, info: zipfile.ZipInfo) -> InputFile:
    # Only the last part of the stored name is kept, so that a member named `../../x` cannot name another place.
    name = PurePosixPath(info.filename.replace("\\", "/")).name
    # The stated compressed size can be forged; the size of the archive bounds it.
    packed_size = min(info.compress_size, path.stat().st_size)

    def open_member() -> IO[bytes]:
        # The archive may be closed here: zipfile keeps the underlying file open until its last member is closed.
        with zipfile.ZipFile(path) as archive:
            return archive.open(info)

    return InputFile(name.lower(), f"{path.name}: {name}", info.file_size, None, packed_size, open_member)


def verify(files: list[InputFile]) -> None:
    """Read all compressed files to their end, so that a zip bomb or damage is detected before a row is stored.

    Raises `InvalidInputError` for the first file that is damaged, encrypted or expands too far.
    """
    for file in files:
        if file.packed_size is not None:
            with file.open() as stream:
                while stream.read(1 << 20):
                    pass
