"""Recognises compressed files by their first bytes and unpacks them as streams: gzip, bzip2, xz and Zstandard."""

import bz2
import gzip
import io
import lzma
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import IO, Any

from app.intake.files.extras import import_extra
from app.intake.files.sources import ByteCounter, ByteSource, CountedStream, UnpackLimit

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")

Unpack = Callable[[IO[bytes]], IO[bytes]]
"""Opens the unpacked bytes of a stream."""

_ZSTD_MODULES = ("compression.zstd", "backports.zstd")
# RFC 8878: frames of data may follow skippable frames, which parallel compressors write.
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")
_UNSUPPORTED = {
    b"Rar!\x1a\x07": "RAR",
    b"\x04\x22\x4d\x18": "LZ4",
    b"LZIP": "lzip",
    b"\x1f\x9d": "compress",
}


def unsupported_format(head: bytes) -> str | None:
    """Return the name of the packed format of a file that begins with `head`, where it is one that is not unpacked."""
    return next((name for magic, name in _UNSUPPORTED.items() if head.startswith(magic)), None)


def unpack_of(head: bytes) -> Unpack | None:
    """Return the function that unpacks a file that begins with `head`; None where the file is not compressed.

    Raises `InvalidInputError` where that needs a library that is not installed.
    """
    unpack: Any = None
    # RFC 1952: 8 is the only method of gzip. bzip2: the size of a block, then the digits of pi.
    if head.startswith(b"\x1f\x8b\x08"):
        unpack = gzip.open
    elif head.startswith(b"BZh") and head[4:10] == b"\x31\x41\x59\x26\x53\x59":
        unpack = bz2.open
    elif head.startswith(b"\xfd7zXZ\0"):
        unpack = lzma.open
    elif _ZSTD.match(head):
        unpack = _zstd().open
    return unpack  # type: ignore[no-any-return]  # typeshed does not declare the opened streams as IO[bytes]


def _zstd() -> Any:
    standard, backport = _ZSTD_MODULES
    return import_module(standard) if sys.version_info >= (3, 14) else import_extra(backport, "archives", "Zstandard")


def zstd_errors() -> tuple[type[Exception], ...]:
    """Return the errors of damaged data in the Zstandard modules that were imported."""
    modules = [sys.modules.get(name) for name in _ZSTD_MODULES]
    return tuple(module.ZstdError for module in modules if module is not None)


@dataclass(frozen=True, slots=True, eq=False)
class CompressedSource:
    """A compressed source; a counter counts its packed bytes, because the unpacked size is not known."""

    packed: ByteSource
    unpack: Unpack
    limit: UnpackLimit

    @property
    def size(self) -> int:
        return self.packed.size

    def open(self, counter: ByteCounter) -> io.BufferedReader:
        packed = self.packed.open(counter)
        return CountedStream(self.unpack(packed), None, self.limit, below=packed).buffered()
