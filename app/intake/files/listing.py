"""Resolves a path to the files to read: a file, or the files in folders and archives, however they are compressed.

Formats are recognised by the first bytes, because a download may have lost its suffix. Files are streamed: only an
archive in an archive, a compressed tar, a 7z archive and a format that needs random access are copied, to a temporary
file without a name. Archives come from outside, so a limit stops what expands too far, and damage is reported as an
error of the input.
"""

import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import IO

from app.errors import InvalidInputError
from app.intake.files.archives import MAX_FILES, EncryptedError, ListMembers, Unpacking, kind_of_file, list_members_of
from app.intake.files.compression import SUFFIXES, CompressedSource, unpack_of, unsupported_format, zstd_errors
from app.intake.files.encodings import check_encoding
from app.intake.files.sources import (
    BUFFER_BYTES,
    ByteCounter,
    ByteRange,
    ByteSource,
    DiskFile,
    TemporaryCopies,
    UnpackLimit,
)

MAX_DEPTH = 3
"""Largest accepted number of archives in one another, and of compressions of one file."""

_HEAD_BYTES = 512
_SYSTEM_NAMES = frozenset({"__macosx", "thumbs.db", "desktop.ini"})


def _damage_errors() -> tuple[type[Exception], ...]:
    """Return the errors by which the libraries report damaged data."""
    # zipfile raises NotImplementedError for a compression method that it does not support.
    of_archives = (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError)
    return (*of_archives, gzip.BadGzipFile, zlib.error, lzma.LZMAError, *zstd_errors())


@contextmanager
def _reading(display_name: str) -> Iterator[None]:
    """Translate the errors of reading a file, compressed file or archive into `InvalidInputError`."""
    try:
        yield
    except EncryptedError as error:
        raise InvalidInputError(f"{display_name} is encrypted: unpack it first", field="path") from error
    except _damage_errors() as error:
        raise InvalidInputError(f"{display_name} is damaged or cut short: {error}", field="path") from error
    except OSError as error:
        # bz2 reports damage by an error that is not one of the operating system.
        reason = "is damaged" if error.errno is None else "cannot be read"
        raise InvalidInputError(f"{display_name} {reason}: {error.strerror or error}", field="path") from error


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file that can be read from its start any number of times.

    `name`: last part of the path in lower case, without the suffix of a compression; layouts are recognised by it.
    `display_name`: the path from the given one on, shown in messages: `ratings.csv`, `ml/ratings.csv` or
    `archive.zip: ml/ratings.csv`. No two files of a path share one.
    `folder`: `display_name` without the last part.
    `size`: number of bytes that `counter` reaches: unpacked bytes, or packed ones of a compressed file. An archive may
    state a wrong size, so it serves progress only.
    `encoding`: codec of a text; None for UTF-8, or UTF-16 and UTF-32 with a byte order mark.
    `problem`: why the file is not read; empty where it is.
    `counter`: number of bytes read since the file was last opened.
    """

    name: str
    display_name: str
    folder: str
    encoding: str | None
    problem: str
    _source: ByteSource
    _unpacking: Unpacking
    counter: ByteCounter = field(default_factory=ByteCounter)

    @property
    def size(self) -> int:
        return self._source.size

    @property
    def is_packed(self) -> bool:
        """Whether the file is unpacked while it is read, so that damage shows only then."""
        return not isinstance(self._source, ByteRange)

    @property
    def is_plain(self) -> bool:
        """Whether the file is on disk, neither compressed nor in an archive."""
        file = self._source.file if isinstance(self._source, ByteRange) else None
        return isinstance(file, DiskFile) and self._source == file.everything()

    @property
    def unpack_limit(self) -> UnpackLimit:
        return self._unpacking.limit

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the unpacked file as a binary stream, positioned at its start.

        Raises `InvalidInputError`, also from within the `with` block, where the file cannot be read, is damaged,
        changes meanwhile, or expands too far.
        """
        with self._opened(self._source) as stream:
            yield stream

    @contextmanager
    def open_at_any_position(self) -> Iterator[IO[bytes]]:
        """As `open`, with a stream that can seek; a packed file is unpacked to a temporary copy once.

        Raises `StorageFullError` too, where there is no room for the copy.
        """
        with _reading(self.display_name):
            source = self._unpacking.copies.of(self._source, self._unpacking.limit)
        with self._opened(source) as stream:
            yield stream

    @contextmanager
    def _opened(self, source: ByteSource) -> Iterator[IO[bytes]]:
        if self.problem:
            raise InvalidInputError(f"{self.display_name} is not read: {self.problem}", field="path")
        self.counter.bytes_read = 0
        with _reading(self.display_name), source.open(self.counter) as stream:
            yield stream


def input_files(path: Path, encoding: str | None = None) -> list[InputFile]:
    """List the files at `path` in the order of their names, with those in its subfolders and archives.

    Hidden files and those of operating systems are left out. A file that is not read, such as a link, has a `problem`.

    `encoding`: codec of the texts; see `InputFile`.

    Raises `InvalidInputError` where `path` does not exist, is empty, cannot be read, is damaged, or holds more than
    `MAX_FILES` files, and where Python has no such codec. Raises `StorageFullError` where there is no room for the
    copies of archives.
    """
    if encoding is not None:
        check_encoding(encoding)
    listing = _Listing(path, encoding)
    with _reading(str(path)):
        listing.add_path()
    return _without_copies(listing.files)


def _without_copies(files: list[InputFile]) -> list[InputFile]:
    """Give a packed file a problem where the same file lies unpacked beside it, because its rows would count twice."""
    plain: dict[str, list[InputFile]] = {}
    for file in files:
        if file.is_plain:
            plain.setdefault(file.name, []).append(file)
    kept = []
    for file in files:
        candidates = [] if file.is_plain or file.problem else plain.get(file.name, [])
        twin = next((plain for plain in candidates if _are_equal(file, plain)), None)
        kept.append(replace(file, problem=f"the same as {twin.display_name}") if twin else file)
    return kept


def _are_equal(first: InputFile, second: InputFile) -> bool:
    with first.open() as of_first, second.open() as of_second:
        while data := of_first.read(BUFFER_BYTES):
            if of_second.read(BUFFER_BYTES) != data:
                return False
        return not of_second.read(1)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a file is. `prefix`: the archives that it is in, as the start of a display name. `path`: the path within.

    `depth`: number of archives that it is in.
    """

    prefix: str
    path: PurePosixPath
    depth: int = 0

    @property
    def display_name(self) -> str:
        # A stored name may hold characters that would control a terminal.
        shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in str(self.path))
        return self.prefix + shown

    def inside(self, stored_name: str) -> "_Place":
        return _Place(f"{self.display_name}: ", PurePosixPath(stored_name), self.depth + 1)


class _Listing:
    """Collects the files of a path in `files`."""

    def __init__(self, path: Path, encoding: str | None) -> None:
        self.files: list[InputFile] = []
        self._path = path
        self._encoding = encoding
        self._copies = TemporaryCopies()
        self._display_names: set[str] = set()

    def add_path(self) -> None:
        path = self._path
        if not path.exists():
            raise InvalidInputError(f"there is no file or folder {path}", field="path")
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            self._add_folder(path)
        # Opening a FIFO would wait for a writer, and a pipe cannot be read twice.
        elif kind := kind_of_file(status.st_mode):
            raise InvalidInputError(
                f"{path} is {kind}: write its content to a file first, and import that", field="path"
            )
        elif status.st_size == 0:
            raise InvalidInputError(f"{path} is empty", field="path")
        else:
            self._add_on_disk(path, status, _Place("", PurePosixPath(path.name)))

    def _add_folder(self, root: Path) -> None:
        pending = _visible_entries(root)
        while pending:
            path = pending.pop()
            place = _Place("", PurePosixPath(path.relative_to(root)))
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                pending += _visible_entries(path)
            # A link is not followed: what it names may lie outside of the folder, or be read already.
            elif kind := kind_of_file(status.st_mode):
                self._add_problem(place, kind)
            else:
                self._add_on_disk(path, status, place)

    def _add_on_disk(self, path: Path, status: os.stat_result, place: _Place) -> None:
        file = DiskFile(path, status.st_size, status.st_dev, status.st_ino)
        unpacking = Unpacking(place.display_name, self._copies, UnpackLimit(place.display_name, file.size))
        self._add(file.everything(), place, unpacking)

    def _add(self, source: ByteSource, place: _Place, unpacking: Unpacking) -> None:
        """Add a file, or the files in it where it is an archive."""
        with _reading(place.display_name):
            try:
                source, head = _unpacked(source, unpacking.limit)
                list_members = list_members_of(head)
                format_ = unsupported_format(head)
            # The library that unpacks the file is not installed.
            except InvalidInputError as error:
                self._add_problem(place, str(error))
                return
        if format_:
            self._add_problem(place, f"Reckon does not unpack {format_}, so unpack it first")
        elif list_members is None:
            self._add_file(source, place, unpacking)
        elif place.depth == MAX_DEPTH:
            self._add_problem(place, f"it is an archive in {MAX_DEPTH} others, so unpack it first")
        else:
            self._add_archive(source, list_members, place, unpacking)

    def _add_archive(self, source: ByteSource, list_members: ListMembers, place: _Place, unpacking: Unpacking) -> None:
        with _reading(place.display_name):
            archive = self._copies.of(source, unpacking.limit)
            members = list_members(archive, Unpacking(place.display_name, self._copies, unpacking.limit))
        if members is None:
            self._add_file(archive, place, unpacking)
            return
        for member in members:
            inside = place.inside(member.name)
            if any(map(_is_of_system, inside.path.parts)):
                continue
            if member.source is None:
                self._add_problem(inside, member.problem)
            else:
                self._add(member.source, inside, unpacking)

    def _add_problem(self, place: _Place, problem: str) -> None:
        nothing = ByteRange(self._copies, 0, 0)
        self._add_file(nothing, place, Unpacking(place.display_name, self._copies, UnpackLimit("", 0)), problem)

    def _add_file(self, source: ByteSource, place: _Place, unpacking: Unpacking, problem: str = "") -> None:
        if len(self.files) == MAX_FILES:
            raise InvalidInputError(f"{self._path} holds more than {MAX_FILES:,} files", field="path")
        name = place.path.name.lower()
        while name.endswith(SUFFIXES):
            name = name.rpartition(".")[0]
        display_name = self._unique(place.display_name)
        folder = f"{place.prefix}{place.path.parent}"
        self.files.append(InputFile(name, display_name, folder, self._encoding, problem, source, unpacking))

    def _unique(self, display_name: str) -> str:
        """Return the name, with a number where an archive has several files of one path."""
        names = chain([display_name], (f"{display_name} ({n})" for n in count(2)))
        name = next(name for name in names if name not in self._display_names)
        self._display_names.add(name)
        return name


def _visible_entries(folder: Path) -> list[Path]:
    """Return what is in a folder in the reverse order of the names, without what is hidden."""
    return sorted((path for path in folder.iterdir() if not _is_of_system(path.name)), reverse=True)


def _is_of_system(name: str) -> bool:
    """Whether a file or folder is hidden, or an operating system or office program put it beside the others."""
    # `.` and `..` in a stored path do not make it hidden.
    is_hidden = name.startswith(".") and bool(name.strip("."))
    return is_hidden or name.lower() in _SYSTEM_NAMES or name.startswith("~$")


def _head(source: ByteSource) -> bytes:
    with source.open(ByteCounter()) as stream:
        return stream.read(_HEAD_BYTES)


def _unpacked(source: ByteSource, limit: UnpackLimit) -> tuple[ByteSource, bytes]:
    """Return the unpacked source and its first bytes; a source that is not compressed is returned as it is."""
    head = _head(source)
    for _ in range(MAX_DEPTH):
        unpack = unpack_of(head)
        if unpack is None:
            break
        source = CompressedSource(source, unpack, limit)
        head = _head(source)
    return source, head


def verify(files: list[InputFile]) -> None:
    """Read all packed files to their end, so that a zip bomb or damage is detected before a row is stored.

    Raises `InvalidInputError` for the first file that is damaged or expands too far.
    """
    n_unpacked: dict[UnpackLimit, int] = {}
    for file in files:
        if file.is_packed:
            limit = file.unpack_limit
            with file.open() as stream:
                while data := stream.read(BUFFER_BYTES):
                    n_unpacked[limit] = n_unpacked.get(limit, 0) + len(data)
                    limit.check(limit.n_copied + n_unpacked[limit])
