"""Writes files packed in every way that Reckon unpacks, and hostile archives."""

import bz2
import gzip
import io
import lzma
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import pytest


def _zstd() -> Any:
    name = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
    return pytest.importorskip(name, reason="needs the extra `archives`")


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: bytes(_zstd().compress(data)),
}


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def tarred(members: Mapping[str, bytes], **kinds: bytes) -> bytes:
    """Return a tar; `kinds`: further members by name, without content, each with its type."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, kind in kinds.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    return packed.getvalue()


def seven_zipped(members: Mapping[str, bytes], password: str | None = None) -> bytes:
    pytest.importorskip("py7zr", reason="needs the extra `archives`")
    packed = io.BytesIO()
    with import_module("py7zr").SevenZipFile(packed, "w", password=password) as archive:
        for n, data in enumerate(members.values()):
            archive.writestr(data, str(n))
        # py7zr itself refuses to write hostile names.
        for name, info in zip(members, archive.header.files_info.files, strict=True):
            info["filename"] = name
    return packed.getvalue()


ARCHIVERS: dict[str, Callable[[Mapping[str, bytes]], bytes]] = {"zip": zipped, "tar": tarred, "7z": seven_zipped}
