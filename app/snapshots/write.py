"""Writes a snapshot folder: aside, durably, and visible under its name only when complete.

    write and fsync each file -> fsync the staging folder -> rename it -> fsync the folder above

A process that is killed between any two steps leaves either a staging folder, which `retention` removes, or a complete
snapshot.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any

import numpy as np

from app.errors import StorageFullError
from app.snapshots.arrays import SnapshotArrays
from app.snapshots.durable import DurableFile, fsync_folder
from app.snapshots.manifest import MANIFEST_FILE, FileDigest, Manifest, manifest_bytes

INDEX_FILE = "items.faiss"
FEATURES_FILE = "features.json"
GROUPS_FILE = "groups.json"
DOCUMENTS = (FEATURES_FILE, GROUPS_FILE)

STAGING_PREFIX = ".staging-"
DOWNLOAD_PREFIX = ".download-"

ROOM_FACTOR = 2.5
"""Free space required before writing, in sizes of the snapshot: other programs write to the disk as well."""


def folder_name(version: int) -> str:
    return f"{version:06d}"


def array_file(name: str) -> str:
    return f"{name}.npy"


def make_room(root: Path, arrays: SnapshotArrays) -> None:
    """Make the folder `root`; raises `StorageFullError` unless a snapshot of `arrays` fits beside what is there."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The index is at most as large as the item vectors, so those count twice.
    needed = int(ROOM_FACTOR * (arrays.item_vectors.nbytes + sum(array.nbytes for array in arrays.named.values())))
    free = shutil.disk_usage(root).free
    if free < needed:
        raise StorageFullError(f"a snapshot needs {needed >> 20} MiB of free disk, there are {free >> 20}")


def write_folder(
    root: Path, manifest: Manifest, arrays: SnapshotArrays, documents: Mapping[str, Any], index: memoryview
) -> Path:
    """Write the snapshot `manifest.version` below `root` and return its folder; the digests are filled in here.

    `documents`: file name -> JSON value, one for each of `DOCUMENTS`. `index`: the bytes of the FAISS index.

    Afterwards either the folder exists, whole and on the disk, or nothing does: the files are written aside and
    fsynced, their folder is fsynced and renamed, and then the folder above is fsynced. Raises `StorageFullError` where
    the disk fills up.
    """
    folder = root / folder_name(manifest.version)
    with staging_folder(root, manifest.version) as staging:
        digests = _write_files(staging, arrays, documents)
        with DurableFile(staging / INDEX_FILE) as file:
            file.write(index)
        digests[INDEX_FILE] = file.digest
        # The manifest comes last, since it holds the digests of all others.
        with DurableFile(staging / MANIFEST_FILE) as file:
            file.write(manifest_bytes(replace(manifest, files=digests)))
        fsync_folder(staging)
        os.rename(staging, folder)  # noqa: PTH104  all steps that a crash test interrupts are calls of `os`
    fsync_folder(root)
    return folder


def _write_files(staging: Path, arrays: SnapshotArrays, documents: Mapping[str, Any]) -> dict[str, FileDigest]:
    digests = {}
    for name, array in arrays.named.items():
        with DurableFile(staging / array_file(name)) as file:
            # Pickle stays off on both sides: a file must not run code when read.
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
        digests[array_file(name)] = file.digest
    for name, document in documents.items():
        with DurableFile(staging / name) as file:
            file.write(json.dumps(document, allow_nan=False).encode())
        digests[name] = file.digest
    return digests


@contextmanager
def staging_folder(root: Path, version: int, prefix: str = STAGING_PREFIX, written: str = "written") -> Iterator[Path]:
    """A fresh folder to write in, removed after an error. What a killed process leaves is removed by `retention`.

    Raises `StorageFullError`, which says what was being done (`written`), where the disk fills up.
    """
    staging = root / f"{prefix}{folder_name(version)}-{secrets.token_hex(4)}"
    try:
        os.mkdir(staging, 0o700)  # noqa: PTH102  all steps that a crash test interrupts are calls of `os`
        yield staging
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        if error.errno in {ENOSPC, EDQUOT}:
            raise StorageFullError(f"the disk filled up while snapshot {version} was {written}") from error
        raise
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
