"""Reads a snapshot folder: verifies every checksum first, then the parts against each other.

Afterwards the contents are those that were written, with the shapes that the manifest states. The meaning of the arrays
is checked by the package that uses them (`scoring`).
"""

import hashlib
import json
import math
import mmap
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInputError
from app.snapshots.arrays import ARRAY_LAYOUTS, Layout, SnapshotArrays, check_arrays
from app.snapshots.errors import SnapshotDamagedError, SnapshotError, SnapshotForeignError
from app.snapshots.manifest import MANIFEST_FILE, MAX_MANIFEST_BYTES, FileDigest, Manifest, read_manifest
from app.snapshots.write import DOCUMENTS, INDEX_FILE, array_file

REQUIRED_FILES = frozenset({INDEX_FILE, *DOCUMENTS, *map(array_file, ARRAY_LAYOUTS)})

MAX_DOCUMENT_BYTES = 1 << 24
"""More than the vocabularies of all features, or the names of all groups, can take."""

MOST_KNOWN = 10_000
"""Files that are known as verified; a snapshot has some 50."""

MOST_READ_BYTES = 1 << 14
"""Up to this size an array is read. To map it would take longer, a descriptor, and whole pages of memory."""


@dataclass(frozen=True)
class SnapshotFiles:
    """The contents of a verified folder: its arrays mapped or read, its documents parsed, its index still a file.

    `sizes`: the lengths of the axes by name, see `check_arrays`. `documents`: file name -> JSON value.
    """

    manifest: Manifest
    arrays: SnapshotArrays
    sizes: Mapping[str, int]
    documents: Mapping[str, Any]
    index_path: Path


def known_files(extra: Mapping[str, Layout]) -> frozenset[str]:
    """The only names that are opened besides the manifest, whatever a manifest lists."""
    return REQUIRED_FILES | frozenset(map(array_file, extra))


def manifest_digest(folder: Path) -> str:
    """The SHA-256 of the manifest in `folder`. Raises `SnapshotDamagedError` where there is none."""
    try:
        return hashlib.sha256(_read_small(folder / MANIFEST_FILE, MAX_MANIFEST_BYTES)).hexdigest()
    except OSError as error:
        raise SnapshotDamagedError(_told(error)) from error


def damage_at_a_glance(folder: Path, digest: str | None) -> str | None:
    """What is wrong with the folder as far as it can be seen without reading the arrays; None where that is nothing.

    `digest`: of the manifest, None where it is not known.
    """
    try:
        content = _read_small(folder / MANIFEST_FILE, MAX_MANIFEST_BYTES)
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            return f"{MANIFEST_FILE} is not the one that was registered"
        for name, file in read_manifest(content).files.items():
            if (folder / name).stat(follow_symlinks=False).st_size != file.size:
                return f"{name} is not {file.size} bytes long"
    except SnapshotError as error:
        return error.detail
    except OSError as error:
        return _told(error)
    return None


class VerifiedFiles:
    """The files whose content was found to be what was written, as they were then: not to be hashed again for a look.

    A file that was written to or replaced since has another time of change, which no program can set. Not for what
    serves answers: a disk may lose what it has stored.
    """

    def __init__(self) -> None:
        self._known: set[tuple[str | int, ...]] = set()

    def knows(self, file: os.stat_result, sha256: str) -> bool:
        return _identity(file, sha256) in self._known

    def add(self, file: os.stat_result, sha256: str) -> None:
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known.add(_identity(file, sha256))


def _identity(file: os.stat_result, sha256: str) -> tuple[str | int, ...]:
    return sha256, file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns


def read_snapshot(
    folder: Path,
    database_id: str,
    version: int,
    extra: Mapping[str, Layout],
    digest: str | None = None,
    verified: VerifiedFiles | None = None,
) -> SnapshotFiles:
    """The snapshot in `folder`, verified and mapped. `extra`: the layouts of arrays that not every snapshot has.

    `digest`: of the manifest as it was registered, so that not even a folder that was forged with valid checksums is
    read; None where it is not known. `verified`: files that need not be hashed again; those that are hashed are added.

    Raises `SnapshotDamagedError` where anything is missing, altered, linked or inconsistent, `SnapshotOutdatedError`
    for an older format, `SnapshotForeignError` for a newer one, another database or another version.
    """
    if folder.is_symlink():
        raise SnapshotDamagedError(f"{folder.name} is a link")
    try:
        content = _read_small(folder / MANIFEST_FILE, MAX_MANIFEST_BYTES)
        manifest = read_manifest(content)
        if (manifest.database_id, manifest.version) != (database_id, version):
            raise SnapshotForeignError(
                f"{folder.name} holds version {manifest.version} of database {manifest.database_id}, "
                f"not version {version} of {database_id}"
            )
        # After the other checks, which say more.
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            raise SnapshotDamagedError(f"{MANIFEST_FILE} is not the one that was registered")
        _verify_files(folder, manifest.files, known_files(extra), verified)
        arrays = {
            name: _map_array(folder / array_file(name), dtype)
            for name, (dtype, _) in (ARRAY_LAYOUTS | dict(extra)).items()
            if array_file(name) in manifest.files
        }
        documents = {name: _read_document(folder / name) for name in DOCUMENTS}
    except OSError as error:
        raise SnapshotDamagedError(_told(error)) from error
    sizes = check_arrays(arrays, extra)
    _check_manifest(manifest, sizes)
    of_some = {name: arrays.pop(name) for name in extra if name in arrays}
    return SnapshotFiles(manifest, SnapshotArrays(**arrays, extra=of_some), sizes, documents, folder / INDEX_FILE)


def _told(error: OSError) -> str:
    """The name of the file and what is wrong, without its place on the machine."""
    what = error.strerror or str(error)
    return f"{Path(error.filename).name}: {what}" if isinstance(error.filename, str | Path) else what


def _verify_files(
    folder: Path, digests: Mapping[str, FileDigest], known: frozenset[str], verified: VerifiedFiles | None
) -> None:
    # Names from a forged manifest are compared with known names and never joined to a path before.
    if not REQUIRED_FILES <= digests.keys() <= known:
        raise SnapshotDamagedError(f"{MANIFEST_FILE} lists other files than this format has")
    for name, digest in digests.items():
        with os.fdopen(_open_regular(folder / name), "rb") as file:
            # The size is compared first: it is known at once, and hashing a large file takes a second.
            found = os.fstat(file.fileno())
            if found.st_size != digest.size:
                raise SnapshotDamagedError(f"{name} is not {digest.size} bytes long")
            if verified is not None and verified.knows(found, digest.sha256):
                continue
            if hashlib.file_digest(file, "sha256").hexdigest() != digest.sha256:
                raise SnapshotDamagedError(f"{name} is not what was written")
            if verified is not None:
                verified.add(found, digest.sha256)


def _read_document(path: Path) -> Any:
    try:
        return json.loads(_read_small(path, MAX_DOCUMENT_BYTES))
    except (ValueError, RecursionError) as error:
        raise SnapshotDamagedError(f"{path.name} is not a JSON document") from error


def _read_small(path: Path, max_bytes: int) -> bytes:
    with os.fdopen(_open_regular(path), "rb") as file:
        # One byte more than allowed shows that a file is too long, without reading all of it.
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise SnapshotDamagedError(f"{path.name} is too long")
    return content


def _open_regular(path: Path) -> int:
    """A descriptor of `path`, which must be a plain file: no link, pipe or device."""
    # Without O_NONBLOCK, opening a pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SnapshotDamagedError(f"{path.name} is not a regular file")
    return descriptor


def _map_array(path: Path, expected: np.dtype[Any]) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            # In Python's own integers: numpy's product of a forged shape may wrap around.
            n_values, start = math.prod(shape), file.tell()
            claimed = start + n_values * expected.itemsize
            if dtype != expected or any(length < 0 for length in shape) or claimed != os.fstat(file.fileno()).st_size:
                raise SnapshotDamagedError(f"{path.name} does not hold the {dtype} array {shape} that it claims")
            if n_values * expected.itemsize <= MOST_READ_BYTES:
                array = np.fromfile(file, expected, n_values)
                array.setflags(write=False)
            else:
                # Not by `numpy.memmap`: slicing one costs several times as much, and so does making it.
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                array = np.frombuffer(mapped, expected, n_values, start)
            return array.reshape(shape)
    except (ValueError, EOFError, SyntaxError, RecursionError) as error:
        raise SnapshotDamagedError(f"{path.name} is not an array") from error


def _check_manifest(manifest: Manifest, sizes: Mapping[str, int]) -> None:
    try:
        _ = manifest.scale, datetime.fromisoformat(manifest.created_at)
    except (InvalidInputError, ValueError) as error:
        raise SnapshotDamagedError(f"{MANIFEST_FILE}: {error}") from error
    counts = {name: sizes[f"n_{name}"] for name in ("items", "users", "ratings", "labels")}
    left_out = {name: manifest.counts.get(name, -1) - n for name, n in counts.items()}
    # Users outside of the table are counted, and so are their ratings and labels.
    may_lack = not manifest.has_all_users and left_out["items"] == 0 and min(left_out.values()) >= 0
    if manifest.counts != counts and not may_lack:
        raise SnapshotDamagedError(f"{MANIFEST_FILE} counts {manifest.counts}, the arrays hold {counts}")
    # Columns follow one another without gaps, and an array that is as long as them is where there is one.
    stop = 0
    for segment in manifest.segments:
        if segment.columns is None:
            if sizes.get(f"n_{segment.name}_entries") != segment.n_entries:
                raise SnapshotDamagedError(f"the arrays of segment {segment.name} do not fit its table")
            continue
        if segment.columns[0] != stop or segment.columns[1] <= stop:
            raise SnapshotDamagedError(f"segment {segment.name} does not follow the one before it")
        if sizes.get(f"n_{segment.name}_columns", width := segment.columns[1] - stop) != width:
            raise SnapshotDamagedError(f"the arrays of segment {segment.name} do not fit its columns")
        stop = segment.columns[1]
    if stop > sizes["dimension"]:
        raise SnapshotDamagedError("the segments are wider than the vectors")
