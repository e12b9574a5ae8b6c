"""Lists the members of tar, zip and 7z archives, which are read without being unpacked to a named file.

A name that is stored in an archive is shown in messages and never becomes a path. Only regular files are read.
"""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidInputError, ReckonError
from app.intake.files.extras import import_extra
from app.intake.files.sources import ByteCounter, ByteRange, ByteSource, CountedStream, TemporaryCopies, UnpackLimit

MAX_FILES = 20_000
"""Largest accepted number of files at a path, all archives and folders together."""

_BLOCK_BYTES = 512
_MAX_HEADER_BYTES = 1 << 20
_FLAG_ENCRYPTED = 1
# zipfile unpacks at once what it reads of these methods: 4 KiB of bzip2 can hold 80 MB, 256 KiB could hold 5 GB.
_STREAMED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAX_READ_OF_OTHERS = 1 << 12
# The packages of Office, OpenDocument and EPUB are zip archives, but a user means them as one file.
_PARTS_OF_DOCUMENTS = frozenset({"[Content_Types].xml", "mimetype"})
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class EncryptedError(Exception):
    """The archive needs a password."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive. `name`: as stored. `source`: its bytes; None where `problem` says why it is not read."""

    name: str
    source: ByteSource | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Unpacking:
    """What listing an archive needs.

    `display_name`: the name of the archive in messages. `copies`: for what needs random access. `limit`: of the file on
    disk that holds the archive.
    """

    display_name: str
    copies: TemporaryCopies
    limit: UnpackLimit

    def check_number(self, n_files: int) -> None:
        """Raise `InvalidInputError` for more than `MAX_FILES`."""
        if n_files > MAX_FILES:
            raise InvalidInputError(f"{self.display_name} holds more than {MAX_FILES:,} files", field="path")


ListMembers = Callable[[ByteRange, Unpacking], list[Member] | None]
"""Lists the files of an archive in the order of their names; None where it is no archive but a document.

Raises `EncryptedError`, `InvalidInputError` for too many files, and what the library raises for damage.
"""


def kind_of_file(mode: int) -> str | None:
    """Return what a file with the `st_mode` is called in messages; None for a regular file."""
    kind = stat.S_IFMT(mode)
    return None if kind == stat.S_IFREG else _KINDS.get(kind, "not a regular file")


def list_members_of(head: bytes) -> ListMembers | None:
    """Return the function that lists the files of an archive that begins with `head`; None where it is no archive.

    `head`: at least 512 bytes, where the file has so many.

    Raises `InvalidInputError` where that needs a library that is not installed.
    """
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _list_zip
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        import_extra("py7zr", "archives", "7z")
        return _list_7z
    return _list_tar if _is_tar(head) else None


def _is_tar(head: bytes) -> bool:
    # The checksum of the first header also recognises tar archives of before 1988, which have no magic bytes.
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return b"\0" in head


@dataclass(frozen=True, slots=True, eq=False)
class _ZipMember:
    """A member of a zip archive, which is unpacked as it is read."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    limit: UnpackLimit

    @property
    def size(self) -> int:
        return self.info.file_size

    def open(self, counter: ByteCounter) -> io.BufferedReader:
        max_read = None if self.info.compress_type in _STREAMED_METHODS else _MAX_READ_OF_OTHERS
        return CountedStream(self.archive.open(self.info), counter, self.limit, max_read=max_read).buffered()


def _list_zip(archive: ByteRange, unpacking: Unpacking) -> list[Member] | None:
    # The directory is parsed once, and its archive object is kept for all members.
    try:
        opened = zipfile.ZipFile(archive.open_for_each_read())
    # A name that is marked as UTF-8 and is not.
    except ValueError as error:
        raise zipfile.BadZipFile(str(error)) from error
    infos = [info for info in opened.infolist() if not info.is_dir()]
    unpacking.check_number(len(infos))
    if any(info.filename in _PARTS_OF_DOCUMENTS for info in infos):
        return None
    if any(info.flag_bits & _FLAG_ENCRYPTED for info in infos):
        raise EncryptedError
    members = []
    for info in sorted(infos, key=lambda info: info.filename):
        # Tools of Unix store the mode in the upper half; others store 0.
        mode = info.external_attr >> 16
        problem = kind_of_file(mode) if stat.S_IFMT(mode) else None
        # Windows tools may store names with backslashes.
        name = info.filename.replace("\\", "/")
        source = None if problem else _ZipMember(opened, info, unpacking.limit)
        members.append(Member(name, source, problem or ""))
    return members


class _HeaderStream(io.BufferedReader):
    """A stream from which only headers are read: tarfile keeps the long names of a header in memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError("a header is larger than 1 MiB")
        return super().read(size)


def _list_tar(archive: ByteRange, unpacking: Unpacking) -> list[Member]:
    members = []
    with archive.open(ByteCounter()) as stream, tarfile.open(fileobj=_HeaderStream(stream), mode="r:") as opened:
        for n_before, info in enumerate(opened):
            unpacking.check_number(n_before + 1)
            if info.size < 0:
                raise tarfile.ReadError("a size is negative")
            if not info.isdir():
                problem = _problem_of(info)
                source = None if problem else archive.cut(info.offset_data, info.size)
                members.append(Member(info.name, source, problem))
        # tarfile takes a damaged header for the end of the archive, and would leave out the members behind it.
        stream.seek(opened.offset)
        if stream.read(_BLOCK_BYTES).strip(b"\0"):
            raise tarfile.ReadError("a header is damaged")
    return sorted(members, key=lambda member: member.name)


def _problem_of(info: tarfile.TarInfo) -> str:
    # The holes of a sparse file take no space in the archive, so it could have any size.
    kinds = {
        "a symbolic link": info.issym(),
        "a hard link": info.islnk(),
        "a device": info.ischr() or info.isblk(),
        "a FIFO": info.isfifo(),
        "a sparse file": info.issparse(),
        "not a regular file": not info.isreg(),
    }
    return next((kind for kind, holds in kinds.items() if holds), "")


class _CopyingWriter:
    """The file that py7zr writes a member to: the end of the temporary copies."""

    def __init__(self, unpacking: Unpacking) -> None:
        self._unpacking = unpacking
        self._n_written = 0

    def write(self, data: bytes) -> int:
        self._unpacking.copies.append(data, self._unpacking.limit)
        self._n_written += len(data)
        return len(data)

    def size(self) -> int:
        return self._n_written

    def read(self, _size: int | None = None) -> bytes:
        return b""

    def seek(self, _offset: int, _whence: int = 0) -> int:
        return 0

    def flush(self) -> None: ...

    def close(self) -> None: ...


class _CopyingFactory:
    """Makes a writer for each member, and keeps where the bytes of the member begin."""

    def __init__(self, unpacking: Unpacking) -> None:
        self._unpacking = unpacking
        self._starts: list[tuple[str, int]] = []

    def create(self, filename: str) -> _CopyingWriter:
        self._starts.append((filename, self._unpacking.copies.size))
        return _CopyingWriter(self._unpacking)

    def members(self) -> list[Member]:
        copies = self._unpacking.copies
        # A member is complete when the next one begins.
        ends = [start for _, start in self._starts[1:]] + [copies.size]
        copied = zip(self._starts, ends, strict=True)
        return [Member(name, ByteRange(copies, start, end - start)) for (name, start), end in copied]


def _list_7z(archive: ByteRange, unpacking: Unpacking) -> list[Member]:
    # A 7z archive packs many files as one stream, so a member cannot be read without those before it.
    py7zr = import_extra("py7zr", "archives", "7z")
    factory = _CopyingFactory(unpacking)
    with archive.open(ByteCounter()) as stream:
        try:
            with py7zr.SevenZipFile(stream) as opened:
                problems = _problems_of_7z(opened, unpacking)
                opened.extract(targets=[name for name, problem in problems.items() if not problem], factory=factory)
        except (ReckonError, OSError):
            raise
        except py7zr.exceptions.PasswordRequired as error:
            raise EncryptedError from error
        except Exception as error:
            # py7zr meets damaged archives with errors of many kinds, those of its own bugs among them.
            raise EOFError(error) from error
    skipped = [Member(name, None, problem) for name, problem in problems.items() if problem]
    return sorted(factory.members() + skipped, key=lambda member: member.name)


def _problems_of_7z(opened: Any, unpacking: Unpacking) -> dict[str, str]:
    """Return by name why a member is not read; an empty text where it is read. Folders are left out."""
    infos = [info for info in opened.list() if not info.is_directory]
    unpacking.check_number(len(infos))
    problems = {}
    for info in infos:
        kind = "a symbolic link" if info.is_symlink else "" if info.is_file else "not a regular file"
        # py7zr refuses an archive that holds such a name as a whole.
        leads_out = info.filename.startswith(("/", "\\")) or ".." in info.filename.replace("\\", "/").split("/")
        problems[info.filename] = kind or ("a path out of the archive" if leads_out else "")
    return problems
