"""Where the folders of snapshots are: in the data folder; with object storage, that is the copy of what is there.

Without object storage, a snapshot is published by writing its folder, and is there or not. With it, a folder is brought
when it is needed, and removed once its snapshot is no longer registered.
"""

import fcntl
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from app.snapshots.bucket import Progress, SnapshotBucket, Turn
from app.snapshots.errors import DownloadStoppedError, SnapshotDamagedError, SnapshotError
from app.snapshots.read import VerifiedFiles, manifest_digest
from app.snapshots.retention import remove_downloads, remove_orphans, remove_snapshot, unregistered_folders
from app.snapshots.write import folder_name

SNAPSHOTS_FOLDER = "snapshots"
"""Below the data folder. The register holds paths relative to the data folder."""

PUBLISHING_LOCK = ".publishing"
"""Held by what has written a folder that is not registered yet."""

DOWNLOADING_LOCK = ".downloading"
"""Held by what downloads: the processes of one machine share the folder, and one of them downloads."""

WAIT_SECONDS = 0.05


Read = TypeVar("Read")


class Registered(Protocol):
    """What the register says of a snapshot: see `SnapshotEntry`."""

    @property
    def version(self) -> int: ...
    @property
    def path(self) -> str: ...
    @property
    def digest(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Publication:
    """One publication, from before its folder is written until its snapshot is registered.

    `turn`: None without object storage, where there is nothing to do but to register.
    """

    bucket: SnapshotBucket | None
    turn: Turn | None

    def upload(
        self,
        folder: Path,
        version: int,
        digest: str,
        job_id: str,
        progress: Progress = lambda _share, _what: None,
    ) -> "Publication":
        """Bring the folder to object storage, and name it there as what was published last; the next publication.

        Raises `ObjectStorageError`, and `PublishedMeanwhileError` if another run was first.
        """
        if self.bucket is None or self.turn is None:
            return self
        self.bucket.upload(folder, version, progress)
        return replace(self, turn=self.bucket.publish(self.turn, version, digest, job_id))


@dataclass(frozen=True, slots=True)
class SnapshotFolders:
    """`bucket`: None if the data folder alone keeps the snapshots."""

    data_dir: Path
    bucket: SnapshotBucket | None = None

    @property
    def root(self) -> Path:
        return self.data_dir / SNAPSHOTS_FOLDER

    def check(self) -> None:
        """Raises `ReckonError` where object storage is set and can certainly not be used. Asks nothing of it."""
        if self.bucket is not None:
            self.bucket.objects.check()

    def local(self, entry: Registered) -> Path:
        """Where the folder is on this machine, if it is."""
        return self.data_dir / entry.path

    def is_here(self, entry: Registered) -> bool:
        """Whether the folder need not be brought: with object storage, whether it is that of the register.

        Reads the manifest alone.
        """
        if self.bucket is None:
            return True
        try:
            return manifest_digest(self.local(entry)) == entry.digest or entry.digest is None
        except SnapshotError:
            return False

    def get(
        self,
        entry: Registered,
        *,
        progress: Progress = lambda _share, _what: None,
        is_stopped: Callable[[], bool] = lambda: False,
        verified: VerifiedFiles | None = None,
    ) -> Path:
        """The folder on this machine, downloaded if it is not here. What reads it verifies it.

        `verified`: the files that were downloaded, and verified by that, are added.

        Raises `ObjectStorageError`, `SnapshotDamagedError` where what is stored there is not what was published, and
        `StorageFullError`; `DownloadStoppedError` once `is_stopped`, which is asked often.
        """
        if self.bucket is None or self.is_here(entry):
            return self.local(entry)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self.root / DOWNLOADING_LOCK, is_stopped):
            if self.is_here(entry):  # another process has brought it meanwhile
                return self.local(entry)
            # The process that left these has ended, since this one holds the lock.
            remove_downloads(self.root)
            return self.bucket.download(
                self.root, entry.version, entry.digest, progress=progress, is_stopped=is_stopped, verified=verified
            )

    def read(
        self, entry: Registered, use: Callable[[Path], Read], get: Callable[[Registered], Path] | None = None
    ) -> Read:
        """What `use` makes of the folder. A damaged copy of what object storage has is downloaded again, once.

        `get`: as the method, which it is by default. Raises as `get`, and what `use` raises.
        """
        get = get or self.get
        folder = get(entry)  # if this finds damage, it is that of object storage, which another download repeats
        try:
            return use(folder)
        except SnapshotDamagedError:
            # Without object storage there is no other copy.
            if not self.distrust(entry):
                raise
        return use(get(entry))

    def distrust(self, entry: Registered) -> bool:
        """Remove the copy on this machine, which is damaged, so that it is brought anew; whether it can be."""
        if self.bucket is None:
            return False
        remove_snapshot(self.root, entry.version)
        return True

    @contextmanager
    def publishing(self, database_id: str) -> Iterator[Publication]:
        """Around all of a publication. Raises `ObjectStorageError`, and `PrefixTakenError`, before it begins."""
        if self.bucket is None:
            yield Publication(None, None)
            return
        turn = self.bucket.begin(database_id)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(self.root / PUBLISHING_LOCK, lambda: False, is_shared=True):
            yield Publication(self.bucket, turn)

    def is_free(self, version: int) -> bool:
        """Whether there is nothing of the version anywhere."""
        return not (self.root / folder_name(version)).exists() and (
            self.bucket is None or not self.bucket.holds(version)
        )

    def remove(self, versions: Collection[int], database_id: str) -> None:
        """Remove snapshots that are not registered, on this machine and in object storage.

        Raises `ObjectStorageError`, and `PrefixTakenError` if `live.json` is not readable, both after those on this
        machine were removed.
        """
        for version in versions:
            remove_snapshot(self.root, version)
        if self.bucket is not None:
            self.bucket.remove(versions, database_id)

    def leftovers(self, registered: Collection[int]) -> list[Path]:
        """The folders on this machine that are not registered."""
        return unregistered_folders(self.root, registered)

    def remove_orphans(self, registered: Callable[[], Collection[int]]) -> list[str]:
        """Remove what killed runs and downloads left on this machine, and return the names.

        `registered`: reads the versions of the register.
        """
        with self._between_publications() as is_between:
            return remove_orphans(self.root, registered()) if is_between else []

    def remove_unregistered(self, registered: Callable[[], Collection[int]]) -> bool:
        """Remove all copies of snapshots that are not registered; whether that could be done now.

        Of a process that publishes nothing itself. `registered`: reads the versions of the register.
        """
        if self.bucket is None or not self.root.is_dir():
            return True
        with self._between_publications() as is_between:
            if is_between:
                # Read now: what was registered before the lock was taken is among them.
                known = set(registered())
                for folder in self.root.iterdir():
                    if folder.name.isdecimal() and not folder.is_symlink() and int(folder.name) not in known:
                        remove_snapshot(self.root, int(folder.name))
            return is_between

    @contextmanager
    def _between_publications(self) -> Iterator[bool]:
        """Whether nothing on this machine has written a folder that it is about to register; nothing will meanwhile."""
        if self.bucket is None or not self.root.is_dir():
            yield True
            return
        descriptor = _opened(self.root / PUBLISHING_LOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(descriptor)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


@contextmanager
def _locked(path: Path, is_stopped: Callable[[], bool], *, is_shared: bool = False) -> Iterator[None]:
    """The system gives a lock back however its process ends."""
    descriptor = _opened(path)
    try:
        while True:
            try:
                fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if is_stopped():
                    raise DownloadStoppedError from None
                time.sleep(WAIT_SECONDS)
        yield
    finally:
        os.close(descriptor)
