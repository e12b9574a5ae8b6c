"""A snapshot written: aside, durably, and visible under its name only when whole."""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from errno import EDQUOT, ENOSPC
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import StorageFullError
from app.snapshots.arrays import SnapshotArrays, check_arrays, named_arrays
from app.snapshots.durable import DurableFile, fsync_folder
from app.snapshots.errors import SnapshotDamagedError
from app.snapshots.features import Encodings
from app.snapshots.groups import Group
from app.snapshots.index_build import Known, build_index, index_bytes
from app.snapshots.manifest import MANIFEST_FILE, FileDigest, Manifest, manifest_bytes

INDEX_FILE = "items.faiss"
FEATURES_FILE = "features.json"
GROUPS_FILE = "groups.json"
STAGING_PREFIX = ".staging-"

ROOM_FACTOR = 2.5
"""Free space asked for before writing, in sizes of the snapshot: the rest of the machine writes as well."""


def folder_name(version: int) -> str:
    return f"{version:06d}"


def array_file(name: str) -> str:
    return f"{name}.npy"


def write_snapshot(
    root: Path, manifest: Manifest, arrays: SnapshotArrays, encodings: Encodings, groups: Sequence[Group] = ()
) -> Path:
    """Write the snapshot `manifest.version` below `root` and return its folder; digests and index are filled in here.

    `groups`: the names of those in `arrays.group_starts`.

    Either the folder is there, whole and on the disk, or nothing is: the files are written aside and fsynced, their
    folder is fsynced and renamed, and then the folder above is fsynced. Raises `StorageFullError` where there is no
    room, `SnapshotDamagedError` where the arrays contradict each other.
    """
    sizes = check_arrays(named_arrays(arrays))
    if len(groups) != sizes["n_group_starts"] - 1:
        raise SnapshotDamagedError("the names of the groups do not fit their arrays")
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_room(root, arrays)
    folder = root / folder_name(manifest.version)
    with _staging(root, manifest.version) as staging:
        digests = _write_files(staging, arrays, {FEATURES_FILE: encodings.document, GROUPS_FILE: groups})
        index, kind = build_index(arrays.item_vectors, arrays.user_vectors, partial(_known, arrays))
        with DurableFile(staging / INDEX_FILE) as file:
            file.write(index_bytes(index))
        digests[INDEX_FILE] = file.digest
        with DurableFile(staging / MANIFEST_FILE) as file:
            file.write(manifest_bytes(replace(manifest, index=kind, files=digests)))
        fsync_folder(staging)
        os.rename(staging, folder)  # noqa: PTH104  all steps that a crash test interrupts are calls of `os`
    fsync_folder(root)
    return folder


def _known(arrays: SnapshotArrays, user_row: int) -> Known:
    rated, _ = arrays.history(user_row)
    positive, _ = arrays.labels(user_row)
    return Known(rated, len(rated) + len(positive))


def _write_files(staging: Path, arrays: SnapshotArrays, documents: Mapping[str, Any]) -> dict[str, FileDigest]:
    digests = {}
    for name, array in named_arrays(arrays).items():
        with DurableFile(staging / array_file(name)) as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
        digests[array_file(name)] = file.digest
    for name, document in documents.items():
        with DurableFile(staging / name) as file:
            file.write(json.dumps(document, allow_nan=False).encode())
        digests[name] = file.digest
    return digests


@contextmanager
def _staging(root: Path, version: int) -> Iterator[Path]:
    """A fresh folder to write in; gone again after an error. What a killed process leaves, the janitor removes."""
    staging = root / f"{STAGING_PREFIX}{folder_name(version)}-{secrets.token_hex(4)}"
    try:
        os.mkdir(staging, 0o700)  # noqa: PTH102  all steps that a crash test interrupts are calls of `os`
        yield staging
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        if error.errno in {ENOSPC, EDQUOT}:
            raise StorageFullError(f"the disk filled up while snapshot {version} was written") from error
        raise
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _check_room(root: Path, arrays: SnapshotArrays) -> None:
    needed = int(
        ROOM_FACTOR * (arrays.item_vectors.nbytes + sum(array.nbytes for array in named_arrays(arrays).values()))
    )
    free = shutil.disk_usage(root).free
    if free < needed:
        raise StorageFullError(f"a snapshot wants {needed >> 20} MiB of free disk, there are {free >> 20}")
