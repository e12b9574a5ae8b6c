"""The published snapshots as an operator sees them: which of them can be served, and the choice of the live one."""

from collections.abc import Collection
from functools import partial

from app.errors import ConflictError, NotFoundError, ReckonError
from app.scoring import Scorer, open_snapshot
from app.snapshots.errors import SnapshotError
from app.snapshots.fetching import AwaitedDownloads
from app.snapshots.folders import SnapshotFolders
from app.snapshots.read import VerifiedFiles, damage_at_a_glance, manifest_digest
from app.store import SnapshotEntry, Store


class ActivationRefusedError(ReckonError):
    """The folder of the snapshot is missing or damaged: after a restart, no process could serve it."""

    type = "activation-refused"
    title = "The snapshot cannot be served"
    status = 409

    def __init__(self, version: int, problem: str) -> None:
        super().__init__(f"snapshot {version} cannot be served, so what is live stays: {problem}")


class PublishedSnapshots:
    def __init__(self, store: Store, folders: SnapshotFolders, downloads: AwaitedDownloads) -> None:
        self._store = store
        self._folders = folders
        self._downloads = downloads
        self._verified = VerifiedFiles()

    def activate(self, version: int | None, *, seen: Collection[int | None] | None = None) -> SnapshotEntry:
        """Make a version live and pin it; None: the newest one, unpinned. `seen`: as `SnapshotRegister.activate`.

        Raises `NotFoundError`, `ActivationRefusedError` unless the snapshot can be opened, which reads all of it,
        `ObjectStorageError` and `StorageFullError` if it cannot be downloaded for that, `DownloadStoppedError` if the
        process stops meanwhile, and what `SnapshotRegister.activate` raises.
        """
        entry = self._newest() if version is None else self._store.snapshots.get(version)
        try:
            self._opened(entry)
        except SnapshotError as error:
            raise ActivationRefusedError(entry.version, error.detail) from error
        return self._store.snapshots.activate(version, seen=seen)

    def open(self, version: int, live: Scorer) -> Scorer:
        """A scorer of the snapshot: `live` if that is it, otherwise its folder, verified and mapped.

        The first time, all of the folder is read. Raises `NotFoundError`, `SnapshotError` if it cannot be served, and
        as `activate` if it cannot be downloaded.
        """
        if live.version == version:
            return live
        return self._opened(self._store.snapshots.get(version), self._verified)

    def _opened(self, entry: SnapshotEntry, verified: VerifiedFiles | None = None) -> Scorer:
        database_id = self._store.instance.database_id
        return self._folders.read(
            entry,
            lambda folder: open_snapshot(folder, database_id, entry.version, entry.digest, verified),
            partial(self._downloads.get, self._folders, verified=verified),
        )

    def problem(self, entry: SnapshotEntry) -> str | None:
        """Why the snapshot cannot be served, as far as is seen without reading its arrays; None where that is fine.

        One that object storage alone has is not looked at.
        """
        is_elsewhere = not self._folders.is_here(entry)
        return None if is_elsewhere else damage_at_a_glance(self._folders.local(entry), entry.digest)

    def upload(self) -> list[tuple[int, str | None]]:
        """Bring all registered snapshots that only this machine has to object storage; those, oldest first, each with
        why it stays where it is, or None.

        For a service that had none before, or another one. Raises `ConflictError` without object storage, if it holds
        the snapshots of another service, or if a run publishes meanwhile, and `ObjectStorageError`.
        """
        if (bucket := self._folders.bucket) is None:
            raise ConflictError("there is no object storage: RECKON_SNAPSHOT_URL names it")
        database_id, done = self._store.instance.database_id, list[tuple[int, str | None]]()
        with self._folders.publishing(database_id) as first:
            publication = first
            for entry in reversed(self._store.snapshots.entries()):
                if bucket.has(entry.version):
                    continue
                folder = self._folders.local(entry)
                try:
                    open_snapshot(folder, database_id, entry.version, entry.digest)
                except SnapshotError as error:
                    done.append((entry.version, error.detail))
                    continue
                digest, job_id = manifest_digest(folder), str(entry.card.get("job_id", ""))
                publication = publication.upload(folder, entry.version, digest, job_id)
                done.append((entry.version, None))
        return done

    def _newest(self) -> SnapshotEntry:
        entries = self._store.snapshots.entries()
        if not entries:
            raise NotFoundError("snapshot", "latest")
        return entries[0]
