"""Snapshots in object storage: immutable objects below `snapshots/NNNNNN/`, and `live.json`, which is replaced.

    read live.json and its entity tag -> upload the files, the manifest last -> replace live.json if it is unchanged

A run that is killed or cut off before the last step has published nothing. A run that began before another one
published finds `live.json` changed, and fails. The register in the database says which snapshot is live; `live.json`
serialises publishers, and says whose snapshots these are. No time of one machine is compared with that of another.
"""

import hashlib
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from app.errors import StorageFullError
from app.snapshots.durable import DurableFile, fsync_file, fsync_folder
from app.snapshots.errors import (
    DownloadStoppedError,
    ObjectStorageDownError,
    PrefixTakenError,
    PublishedMeanwhileError,
    SnapshotDamagedError,
)
from app.snapshots.manifest import MANIFEST_FILE, MAX_MANIFEST_BYTES, FileDigest, Manifest, read_manifest
from app.snapshots.object_store import AlreadyThereError, ObjectStore
from app.snapshots.read import VerifiedFiles
from app.snapshots.retention import remove_snapshot
from app.snapshots.write import DOWNLOAD_PREFIX, folder_name, staging_folder

LIVE_KEY = "live.json"
SNAPSHOTS = "snapshots"
CHECKS = "checks"
"""The folder of the objects by which the storage is tried out; a test that is cut off leaves one."""

ROOM_FACTOR = 1.1
"""Free space required before a download, in sizes of the snapshot."""

_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)+")
"""Names of files of a snapshot: none of them leads out of its folder."""

_VERSION = re.compile(r"\d{6,}")

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Published:
    """The content of `live.json`: what was published last, and by which job of which database.

    `version`: None before the first publication. `published_at`: for readers alone, by the clock of what published.
    """

    database_id: str
    version: int | None = None
    digest: str | None = None
    published_at: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """`live.json` as it was when a publication began."""

    published: Published
    e_tag: str


@dataclass(frozen=True)
class SnapshotBucket:
    objects: ObjectStore

    @classmethod
    def at(cls, url: str) -> "SnapshotBucket":
        """`url`: `s3://bucket/prefix`."""
        return cls(ObjectStore.at(url))

    @property
    def url(self) -> str:
        return self.objects.url

    def begin(self, database_id: str) -> Turn:
        """Begin a publication; the first one takes the place in the bucket for this database.

        Raises `PrefixTakenError` if it is taken by another one.
        """
        turn = self._turn()
        if turn is None:
            try:
                first = Published(database_id)
                return Turn(first, self.objects.put(LIVE_KEY, _written(first), is_new=True))
            except AlreadyThereError:
                turn = self._turn()
            if turn is None:
                raise PublishedMeanwhileError(f"{self.url}: {LIVE_KEY} appeared and was removed at once")
        self._check_own(turn.published, database_id)
        return turn

    def owner(self) -> str | None:
        """The id of the database whose snapshots are here; None before the first publication began."""
        turn = self._turn()
        return None if turn is None else turn.published.database_id

    def check_owner(self, database_id: str) -> None:
        """Raises `PrefixTakenError` if the snapshots of another database are here."""
        if (turn := self._turn()) is not None:
            self._check_own(turn.published, database_id)

    def honours_conditions(self) -> bool:
        """Whether the storage refuses to create what exists and to replace what has changed; needs to write.

        Without that, two runs that publish at the same time would both believe that they did.
        """
        key = f"{CHECKS}/{secrets.token_hex(8)}"
        tag = self.objects.put(key, b"1", is_new=True)
        try:
            for condition in ({"is_new": True}, {"replaces": f'"{"0" * 32}"'}):
                try:
                    self.objects.put(key, b"2", **condition)
                except AlreadyThereError:
                    continue
                return False
            self.objects.put(key, b"3", replaces=tag)
        except AlreadyThereError:
            return False
        finally:
            self.objects.remove([key])
        return True

    def upload(self, folder: Path, version: int, progress: Progress) -> None:
        """Upload the snapshot in `folder`, its manifest last: a snapshot without a manifest is none."""
        place = _place(version)
        content = (folder / MANIFEST_FILE).read_bytes()
        files = read_manifest(content).files
        n_bytes, n_sent = sum(each.size for each in files.values()), 0
        for name, digest in files.items():
            progress(n_sent / max(n_bytes, 1), name)
            self.objects.upload(f"{place}/{name}", folder / name)
            n_sent += digest.size
        sizes = self.objects.sizes(place)
        if cut := [name for name, digest in files.items() if sizes.get(f"{place}/{name}") != digest.size]:
            raise ObjectStorageDownError(
                f"{self.url}: {cut[0]} of snapshot {version} was not stored whole", "Train again."
            )
        try:
            self.objects.put(f"{place}/{MANIFEST_FILE}", content, is_new=True)
        except AlreadyThereError:
            # The storage may have written it, and the connection may have ended before the answer.
            found = self.objects.get(f"{place}/{MANIFEST_FILE}")
            if found is None or found.content != content:
                raise PublishedMeanwhileError(
                    f"{self.url}: snapshot {version} exists already, and is another one"
                ) from None

    def publish(self, turn: Turn, version: int, digest: str, job_id: str) -> Turn:
        """Name the uploaded snapshot in `live.json`, and return what it is now.

        Raises `PublishedMeanwhileError` if another run has done so since the turn began.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        written = Published(turn.published.database_id, version, digest, now, job_id)
        try:
            return Turn(written, self.objects.put(LIVE_KEY, _written(written), replaces=turn.e_tag))
        except AlreadyThereError:
            found = self._turn()
            # The storage may have replaced it, and the connection may have ended before the answer.
            if found is not None and found.published == written:
                return found
            if found is None:
                by = f"{LIVE_KEY} was removed"
            else:
                self._check_own(found.published, turn.published.database_id)
                by = f"job {found.published.job_id} has published snapshot {found.published.version}"
            raise PublishedMeanwhileError(
                f"{self.url}: {by} since this run began to publish, so its snapshot {version} does not go live"
            ) from None

    def holds(self, version: int) -> bool:
        """Whether there is any object of the version."""
        return bool(self.objects.sizes(_place(version)))

    def has(self, version: int) -> bool:
        """Whether the version was uploaded whole."""
        return self.objects.get(f"{_place(version)}/{MANIFEST_FILE}") is not None

    def versions(self) -> set[int]:
        """The versions of which there are objects."""
        return {int(name) for name in self.objects.folders(SNAPSHOTS) if _VERSION.fullmatch(name)}

    def remove(self, versions: Collection[int], database_id: str) -> None:
        """Remove all objects of these versions. Nothing, if they are those of another database, or not known whose."""
        if not versions or self.owner() != database_id:
            return
        for version in versions:
            keys = self.objects.sizes(_place(version))
            # First, so that nothing begins to download what is being removed.
            self.objects.remove([key for key in keys if key.endswith(f"/{MANIFEST_FILE}")])
            self.objects.remove([key for key in keys if not key.endswith(f"/{MANIFEST_FILE}")])

    def remove_all(self) -> None:
        """Remove everything that Reckon keeps here, `live.json` last."""
        for folder in (SNAPSHOTS, CHECKS):
            self.objects.remove(self.objects.sizes(folder).keys())
        self.objects.remove([LIVE_KEY])

    def download(
        self,
        root: Path,
        version: int,
        digest: str | None,
        *,
        progress: Progress = lambda _share, _what: None,
        is_stopped: Callable[[], bool] = lambda: False,
        verified: VerifiedFiles | None = None,
    ) -> Path:
        """Download a snapshot below `root`: aside, verified and fsynced, and then renamed to its name; its folder.

        `digest`: of its manifest as it was registered, None where it is not known. `is_stopped` is asked often.
        `verified`: the files are added, which were hashed as they were written.

        Raises `SnapshotDamagedError` where anything is missing, cut short or not what was published,
        `StorageFullError` where the disk is too small, and `DownloadStoppedError`. Nothing is left behind then.
        """
        place = _place(version)
        found = self.objects.get(f"{place}/{MANIFEST_FILE}")
        if found is None:
            raise SnapshotDamagedError(f"{self.url} does not have snapshot {version}")
        manifest = self._checked(found.content, version, digest)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        n_bytes = sum(each.size for each in manifest.files.values())
        needed = int(ROOM_FACTOR * n_bytes)
        if (free := shutil.disk_usage(root).free) < needed:
            raise StorageFullError(
                f"snapshot {version} needs {needed >> 20} MiB of free disk to be downloaded, there are {free >> 20}"
            )
        folder = root / folder_name(version)
        with staging_folder(root, version, DOWNLOAD_PREFIX, "downloaded") as staging:
            n_read, synced = 0, []
            # A file is brought to the disk while the next one arrives.
            with ThreadPoolExecutor(1, thread_name_prefix="snapshot-fsync") as behind:
                for name, expected in manifest.files.items():
                    for n in self._received(staging, version, name, expected):
                        if is_stopped():
                            raise DownloadStoppedError
                        progress((n_read + n) / n_bytes, name)
                    synced.append(behind.submit(fsync_file, staging / name))
                    n_read += expected.size
                    if verified is not None:
                        verified.add((staging / name).stat(follow_symlinks=False), expected.sha256)
            for each in synced:
                each.result()
            with DurableFile(staging / MANIFEST_FILE) as file:
                file.write(found.content)
            fsync_folder(staging)
            # A copy that was found damaged, or is of a state before the database was restored.
            remove_snapshot(root, version)
            staging.rename(folder)
        fsync_folder(root)
        return folder

    def _received(self, staging: Path, version: int, name: str, expected: FileDigest) -> Iterator[int]:
        """Download a file; yields how many bytes there are, after each piece. It is not fsynced."""
        chunks = self.objects.chunks(f"{_place(version)}/{name}")
        if chunks is None:
            raise SnapshotDamagedError(f"{self.url} does not have {name} of snapshot {version}")
        with DurableFile(staging / name, is_synced=False) as file:
            n = 0
            for chunk in chunks:
                n += file.write(chunk)
                if n > expected.size:
                    break
                yield n
        if file.digest != expected:
            raise SnapshotDamagedError(
                f"{self.url}: {name} of snapshot {version} is not what was published:"
                f" {n} bytes, {expected.size} were published"
            )

    def _checked(self, content: bytes, version: int, digest: str | None) -> Manifest:
        where = f"{self.url}: {MANIFEST_FILE} of snapshot {version}"
        if len(content) > MAX_MANIFEST_BYTES:
            raise SnapshotDamagedError(f"{where} is too long")
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            raise SnapshotDamagedError(f"{where} is not the one that was registered")
        manifest = read_manifest(content)
        if not all(_NAME.fullmatch(name) for name in manifest.files):
            raise SnapshotDamagedError(f"{where} lists other files than a snapshot has")
        return manifest

    def _turn(self) -> Turn | None:
        found = self.objects.get(LIVE_KEY)
        if found is None:
            return None
        try:
            return Turn(_published_type().validate_json(found.content), found.e_tag)
        except ValidationError:
            raise PrefixTakenError(self.url, f"(unknown: {LIVE_KEY} is not one of Reckon)", "another") from None

    def _check_own(self, published: Published, database_id: str) -> None:
        if published.database_id != database_id:
            raise PrefixTakenError(self.url, published.database_id, database_id)


def _place(version: int) -> str:
    return f"{SNAPSHOTS}/{folder_name(version)}"


def _written(published: Published) -> bytes:
    return _published_type().dump_json(published, indent=1)


@cache
def _published_type() -> TypeAdapter[Published]:
    return TypeAdapter(Published)
