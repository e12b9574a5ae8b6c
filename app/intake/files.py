"""A PATH as a list of files to read: one file, a folder of files, a zip of files, each maybe gzipped."""

import gzip
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from app.errors import InvalidInputError
from app.intake.counted_stream import CountedStream, Meter

MAX_MEMBERS = 1_000
_DAMAGE = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that can be read from its start any number of times.

    `name`: its last part in lower case, without `.gz`; layouts are recognised by it. `shown`: what messages call it.
    `size`: bytes it unpacks to, as far as that is claimed; `meter`: bytes read since it was opened last. `path`: where
    it lies, None inside a zip or gzipped. `packed_size`: None where it is not compressed.
    """

    name: str
    shown: str
    size: int
    path: Path | None
    packed_size: int | None
    _open: Callable[[], IO[bytes]]
    meter: Meter = field(default_factory=Meter)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """A binary stream from the start; damage found on the way raises `InvalidInputError`."""
        try:
            with CountedStream(self._open(), self.meter, self.shown, self.packed_size).buffered() as stream:
                yield stream
        except _DAMAGE as error:
            raise InvalidInputError(f"{self.shown} is damaged or cut short: {error}", field="path") from error
        except RuntimeError as error:  # zipfile has no class of its own for this
            if "password" not in str(error):
                raise
            raise InvalidInputError(f"{self.shown} is encrypted: unpack it first", field="path") from error
        except OSError as error:
            raise InvalidInputError(f"{self.shown} cannot be read: {error.strerror or error}", field="path") from error


def input_files(path: Path) -> list[InputFile]:
    """The files PATH consists of, by name; names of a zip serve as names only, never as paths."""
    try:
        return _files_at(path)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}", field="path") from error


def _files_at(path: Path) -> list[InputFile]:
    if not path.exists():
        raise InvalidInputError(f"there is no file or folder {path}", field="path")
    if path.is_dir():
        return [_plain(entry, entry.name) for entry in sorted(path.iterdir()) if _is_wanted(entry)]
    if path.stat().st_size == 0:
        raise InvalidInputError(f"{path} is empty", field="path")
    if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        return _members(path)
    return [_plain(path, path.name)]


def _is_wanted(entry: Path) -> bool:
    return entry.is_file() and not entry.name.startswith(".")


def _plain(path: Path, shown: str) -> InputFile:
    size = path.stat().st_size
    name = path.name.lower()
    if not name.endswith(".gz"):
        return InputFile(name, shown, size, path, None, lambda: path.open("rb"))
    with path.open("rb") as stream:
        stream.seek(-min(4, size), 2)
        unpacked_size = int.from_bytes(stream.read(), "little")  # RFC 1952: modulo 2^32
    return InputFile(name.removesuffix(".gz"), shown, unpacked_size, None, size, lambda: _gunzipped(path))


def _gunzipped(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb")  # type: ignore[return-value]  # it reads like any binary file


def _members(path: Path) -> list[InputFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except zipfile.BadZipFile as error:
        raise InvalidInputError(f"{path} is a damaged zip: {error}", field="path") from error
    if len(infos) > MAX_MEMBERS:
        raise InvalidInputError(f"{path} holds {len(infos)} files, more than {MAX_MEMBERS}", field="path")
    wanted = [info for info in infos if not _is_clutter(PurePosixPath(info.filename.replace("\\", "/")))]
    return [_member(path, info) for info in sorted(wanted, key=lambda info: info.filename)]


def _is_clutter(stored: PurePosixPath) -> bool:
    return any(part == "__MACOSX" or (part.startswith(".") and part.strip(".")) for part in stored.parts)


def _member(path: Path, info: zipfile.ZipInfo) -> InputFile:
    name = PurePosixPath(info.filename.replace("\\", "/")).name
    # What the directory says of the compressed size is the archive's own claim: it cannot exceed the archive.
    packed_size = min(info.compress_size, path.stat().st_size)

    def unpacked() -> IO[bytes]:
        with zipfile.ZipFile(path) as archive:  # an open member outlives its archive object
            return archive.open(info)

    return InputFile(name.lower(), f"{path.name}: {name}", info.file_size, None, packed_size, unpacked)


def verify(files: list[InputFile]) -> None:
    """Reads compressed files to their end, so that a bomb or a damaged archive is found before a row is stored."""
    for file in files:
        if file.packed_size is not None:
            with file.open() as stream:
                while stream.read(1 << 20):
                    pass
