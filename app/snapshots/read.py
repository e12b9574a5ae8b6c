"""A snapshot read: every checksum first, then the parts against each other, then a question with a known answer."""

import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from app.algorithms.feature_map import crossed_width
from app.snapshots.arrays import ARRAY_LAYOUTS, LAYOUTS, SEGMENT_LAYOUTS, check_arrays
from app.snapshots.errors import SnapshotDamagedError, SnapshotForeignError
from app.snapshots.features import Encodings
from app.snapshots.groups import Group
from app.snapshots.index import map_index
from app.snapshots.manifest import MANIFEST_FILE, MAX_MANIFEST_BYTES, FileDigest, Manifest, read_manifest
from app.snapshots.snapshot import Snapshot
from app.snapshots.write import FEATURES_FILE, GROUPS_FILE, INDEX_FILE, array_file

REQUIRED_FILES = frozenset({INDEX_FILE, FEATURES_FILE, GROUPS_FILE, *map(array_file, ARRAY_LAYOUTS)})
FILES = REQUIRED_FILES | frozenset(map(array_file, SEGMENT_LAYOUTS))
"""The only names that are ever opened beside the manifest, whatever a manifest says."""

MAX_FEATURES_BYTES = 1 << 24
"""More than the vocabularies of all features can take, see `Encoding`, or the names of all groups."""

CANARY_QUERIES = 3
CANARY_TOLERANCE = 1e-2
"""Relative: half precision of the index, at most."""


def open_snapshot(folder: Path, database_id: str, version: int) -> Snapshot:
    """The snapshot in `folder`, verified and mapped.

    Raises `SnapshotDamagedError` where anything is missing, altered, linked or inconsistent, `SnapshotOutdatedError`
    for an older format, `SnapshotForeignError` for a newer one, another database or another version.
    """
    if folder.is_symlink():
        raise SnapshotDamagedError(f"{folder.name} is a link")
    try:
        manifest = read_manifest(_read_small(folder / MANIFEST_FILE))
        if (manifest.database_id, manifest.version) != (database_id, version):
            raise SnapshotForeignError(
                f"{folder.name} holds version {manifest.version} of database {manifest.database_id}, "
                f"not version {version} of {database_id}"
            )
        _verify_files(folder, manifest.files)
        arrays = {
            name: _map_array(folder / array_file(name), dtype)
            for name, (dtype, _) in LAYOUTS.items()
            if array_file(name) in manifest.files
        }
        sizes = check_arrays(arrays)
        _check_manifest(manifest, sizes)
        encodings = _read_encodings(folder / FEATURES_FILE, sizes)
        groups = _read_groups(folder / GROUPS_FILE, sizes["n_group_starts"] - 1)
        if manifest.index is None:
            raise SnapshotDamagedError(f"{MANIFEST_FILE} names no kind of index")
        index = map_index(folder / INDEX_FILE, arrays["item_vectors"], manifest.index)
    except OSError as error:
        raise SnapshotDamagedError(f"{folder.name}: {error.strerror or error}") from error
    of_segments = {name: arrays.pop(name) for name in SEGMENT_LAYOUTS.keys() & arrays.keys()}
    snapshot = Snapshot(
        manifest=manifest, index=index, encodings=encodings, groups=groups, of_segments=of_segments, **arrays
    )
    snapshot.check_segments()
    _ask_canaries(snapshot)
    return snapshot


def _verify_files(folder: Path, digests: Mapping[str, FileDigest]) -> None:
    if not REQUIRED_FILES <= digests.keys() <= FILES:
        raise SnapshotDamagedError(f"{MANIFEST_FILE} lists other files than this format has")
    for name, digest in digests.items():
        with os.fdopen(_open_regular(folder / name), "rb") as file:
            if os.fstat(file.fileno()).st_size != digest.size:
                raise SnapshotDamagedError(f"{name} is not {digest.size} bytes long")
            if hashlib.file_digest(file, "sha256").hexdigest() != digest.sha256:
                raise SnapshotDamagedError(f"{name} is not what was written")


def _read_encodings(path: Path, sizes: Mapping[str, int]) -> Encodings:
    try:
        encodings = Encodings.of(json.loads(_read_small(path, MAX_FEATURES_BYTES)))
        widths = crossed_width(len(encodings.items.names)), crossed_width(len(encodings.users.names))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SnapshotDamagedError(f"{path.name} does not say how features are read") from error
    if widths != (sizes["n_item_features"], sizes["n_user_features"]):
        raise SnapshotDamagedError(f"{path.name} does not fit the maps of features")
    return encodings


def _read_groups(path: Path, n_groups: int) -> tuple[Group, ...]:
    try:
        document = json.loads(_read_small(path, MAX_FEATURES_BYTES))
        groups = TypeAdapter(tuple[Group, ...]).validate_python(document)
    except (ValueError, RecursionError) as error:
        raise SnapshotDamagedError(f"{path.name} does not name groups") from error
    if len(set(groups)) != n_groups:
        raise SnapshotDamagedError(f"{path.name} does not fit the groups")
    return groups


def _read_small(path: Path, max_bytes: int = MAX_MANIFEST_BYTES) -> bytes:
    with os.fdopen(_open_regular(path), "rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise SnapshotDamagedError(f"{path.name} is too long")
    return content


def _open_regular(path: Path) -> int:
    """A descriptor of `path`, which must be a plain file: no link, pipe or device."""
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
            start = file.tell()
    except (ValueError, EOFError, SyntaxError, RecursionError) as error:
        raise SnapshotDamagedError(f"{path.name} is not an array") from error
    # In whole numbers of Python: numpy's own product of a forged shape may wrap around and map too little.
    claimed = start + math.prod(shape) * expected.itemsize
    if dtype != expected or any(length < 0 for length in shape) or claimed != path.stat().st_size:
        raise SnapshotDamagedError(f"{path.name} does not hold the {dtype} array {shape} that it claims")
    # A plain view: slicing `numpy.memmap` costs several times as much.
    return np.asarray(np.memmap(path, expected, "r", start, shape))


def _check_manifest(manifest: Manifest, sizes: Mapping[str, int]) -> None:
    counts = {name: sizes[f"n_{name}"] for name in ("items", "users", "ratings", "labels")}
    if manifest.counts != counts:
        raise SnapshotDamagedError(f"{MANIFEST_FILE} counts {manifest.counts}, the arrays hold {counts}")
    stop = 0
    for segment in manifest.segments:
        if segment.columns[0] != stop or segment.columns[1] <= stop:
            raise SnapshotDamagedError(f"segment {segment.name} does not follow the one before it")
        if sizes.get(f"n_{segment.name}_columns", width := segment.columns[1] - stop) != width:
            raise SnapshotDamagedError(f"the arrays of segment {segment.name} do not fit its columns")
        stop = segment.columns[1]
    if stop > sizes["dimension"]:
        raise SnapshotDamagedError("the segments are wider than the vectors")


def _ask_canaries(snapshot: Snapshot) -> None:
    """Real queries, whose scores must be the dot products they claim to be: FAISS may load a wrong file in silence."""
    n_users = len(snapshot.user_keys)
    for user_row in np.unique(np.linspace(0, n_users - 1, CANARY_QUERIES).astype(int)) if n_users else ():
        vector = snapshot.user_vectors[user_row]
        rows, scores = snapshot.nearest(vector, 10)
        best = float((snapshot.item_vectors @ vector).max(initial=-np.inf))
        tolerance = CANARY_TOLERANCE * (1.0 + abs(best))
        if len(rows) != min(10, snapshot.n_items) or abs(float(scores[0]) - best) > tolerance:
            raise SnapshotDamagedError("a trial search gave wrong answers")
