"""Where the Parquet files of a run lie: in a folder of this machine, or below a prefix of a bucket.

    PATH                   a file, or a folder
    s3://BUCKET/PREFIX     an object, or all objects below the prefix

Objects are read by ranges, so that memory does not depend on their size. Each range is requested for the state that the
object had when it was listed: the rows of two states are never mixed.
"""

import io
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from app.errors import InvalidInputError
from app.snapshots.object_store import ObjectState, ObjectStore

SUFFIXES = (".parquet", ".pq")

HIDDEN = (".", "_")

SMALL_OBJECT = 8 << 20
"""Bytes of an object that is read by one request."""

N_NAMED = 3
"""A few names tell what is in a folder without Parquet files."""

_ADDRESS = re.compile(r"(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([^?#]*))?")


class SourceFiles(Protocol):
    """Some files, at least one. `names`: below a folder or prefix, ascending. `n_bytes`: of all of them."""

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def n_bytes(self) -> int: ...

    def shown(self, name: str) -> str:
        """The whole path or address of a file, for messages."""
        ...

    def open(self, name: str) -> Any:
        """What pyarrow reads: a path, or a file object."""
        ...


def is_address(source: str) -> bool:
    return "://" in source


def check_source_address(source: str) -> None:
    """Raises `InvalidInputError` for an address that is none of a bucket."""
    if is_address(source):
        _bucket_and_key(source)


def find_files(source: str) -> SourceFiles:
    """The file or object `source`, or all Parquet files in that folder or below that prefix, by name.

    Names that begin with `.` or `_`, and what is below them, are passed over, as other engines do. Raises
    `InvalidInputError`, which says what was found, where there is none, and `ObjectStorageError`.
    """
    return BucketFiles.find(source) if is_address(source) else FolderFiles.find(source)


@dataclass(frozen=True)
class FolderFiles:
    """Files in and below the folder `root`."""

    root: Path
    names: tuple[str, ...]
    n_bytes: int

    @classmethod
    def find(cls, path: str) -> "FolderFiles":
        given = Path(path)
        if given.is_file():
            return cls(given.parent, (given.name,), given.stat().st_size)
        if not given.is_dir():
            raise InvalidInputError(f"there is neither a file nor a folder {path}", field="from")
        names = _parquet_among(_names_below(given), f"in the folder {path}")
        return cls(given, names, sum((given / name).stat().st_size for name in names))

    def shown(self, name: str) -> str:
        return str(self.root / name)

    def open(self, name: str) -> Path:
        return self.root / name


@dataclass(frozen=True)
class BucketFiles:
    """Objects of a bucket. `prefix`: what stands before their names, empty or with a `/` at its end."""

    store: ObjectStore
    prefix: str
    states: dict[str, ObjectState]

    @classmethod
    def find(cls, address: str) -> "BucketFiles":
        """Raises `InvalidInputError` and `ObjectStorageError`."""
        bucket, key = _bucket_and_key(address)
        store = ObjectStore.at(bucket)
        prefix = f"{key}/" if key else ""
        below = {path.removeprefix(prefix): state for path, state in store.states(key)}
        if not below and key:
            if (state := store.state(key)) is None:
                raise InvalidInputError(f"there is neither an object {address} nor any below it", field="from")
            folder, _, name = key.rpartition("/")
            return cls(store, f"{folder}/" if folder else "", {name: state})
        names = _parquet_among((name for name in below if not _is_hidden(name)), f"below {address}")
        return cls(store, prefix, {name: below[name] for name in names})

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.states)

    @property
    def n_bytes(self) -> int:
        return sum(state.size for state in self.states.values())

    def shown(self, name: str) -> str:
        return f"{self.store.url}/{self.prefix}{name}"

    def open(self, name: str) -> "ObjectReader":
        return ObjectReader(self.store, f"{self.prefix}{name}", self.states[name])


class ObjectReader:
    """An object as a file that pyarrow reads. A small one is read at once."""

    closed = False

    def __init__(self, store: ObjectStore, key: str, state: ObjectState) -> None:
        self._store, self._key, self._state = store, key, state
        self._place = 0
        self._whole: bytes | None = None

    def read(self, n: int = -1) -> bytes:
        """Raises `ObjectStorageError`."""
        size = self._state.size
        end = size if n < 0 else min(self._place + n, size)
        if self._place >= end:
            return b""
        if self._whole is None and size <= SMALL_OBJECT:
            self._whole = self._store.read_range(self._key, self._state, 0, size)
        if self._whole is not None:
            found = self._whole[self._place : end]
        else:
            found = self._store.read_range(self._key, self._state, self._place, end)
        self._place += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._state.size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed, self._whole = True, None


def _bucket_and_key(address: str) -> tuple[str, str]:
    """`s3://BUCKET`, and the key without slashes at its ends. Raises `InvalidInputError`."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        # Of the address the message repeats the scheme alone: what stands where it must not may be a password.
        scheme = address.partition("://")[0]
        given = f"{scheme}://" if re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,15}", scheme) else "this"
        raise InvalidInputError(
            f"ratings are read from a local path or from s3://BUCKET/PREFIX, and {given}... is neither; credentials"
            " are those of the AWS_... variables and never part of the address",
            field="from",
        )
    return match[1], (match[2] or "").strip("/")


def _names_below(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        below = os.path.relpath(parent, folder)
        yield from (name if below == "." else f"{below}/{name}" for name in files if not name.startswith(HIDDEN))


def _is_hidden(name: str) -> bool:
    return any(part.startswith(HIDDEN) for part in name.split("/"))


def _parquet_among(names: Iterable[str], where: str) -> tuple[str, ...]:
    """Those of the names that are of Parquet files, ascending. Raises `InvalidInputError` where there are none."""
    found: list[str] = []
    others: list[str] = []
    for name in names:
        if name.endswith(SUFFIXES):
            found.append(name)
        elif len(others) < N_NAMED:
            others.append(name)
    if not found:
        what = f"it holds {', '.join(others)}" if others else "it is empty"
        raise InvalidInputError(f"there are no Parquet files ({', '.join(SUFFIXES)}) {where}: {what}", field="from")
    return tuple(sorted(found))
