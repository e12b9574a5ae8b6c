"""The published snapshots as an operator sees them: which of them can be served, and the choice of the live one."""

from collections.abc import Collection
from pathlib import Path

from app.errors import NotFoundError, ReckonError
from app.scoring import Scorer, open_snapshot
from app.snapshots.errors import SnapshotError
from app.snapshots.read import VerifiedFiles, damage_at_a_glance
from app.store import SnapshotEntry, Store


class ActivationRefusedError(ReckonError):
    """The folder of the snapshot is missing or damaged: after a restart, no process could serve it."""

    type = "activation-refused"
    title = "The snapshot cannot be served"
    status = 409

    def __init__(self, version: int, problem: str) -> None:
        super().__init__(f"snapshot {version} cannot be served, so what is live stays: {problem}")


class PublishedSnapshots:
    def __init__(self, store: Store, data_dir: Path) -> None:
        self._store = store
        self._data_dir = data_dir
        self._verified = VerifiedFiles()

    def activate(self, version: int | None, *, seen: Collection[int | None] | None = None) -> SnapshotEntry:
        """Make a version live and pin it; None: the newest one, unpinned. `seen`: as `SnapshotRegister.activate`.

        Raises `NotFoundError`, `ActivationRefusedError` unless the snapshot can be opened, which reads all of it, and
        what `SnapshotRegister.activate` raises.
        """
        entry = self._newest() if version is None else self._store.snapshots.get(version)
        try:
            folder = self._data_dir / entry.path
            open_snapshot(folder, self._store.instance.database_id, entry.version, entry.digest)
        except SnapshotError as error:
            raise ActivationRefusedError(entry.version, error.detail) from error
        return self._store.snapshots.activate(version, seen=seen)

    def open(self, version: int, live: Scorer) -> Scorer:
        """A scorer of the snapshot: `live` if that is it, otherwise its folder, verified and mapped.

        The first time, all of the folder is read. Raises `NotFoundError`, and `SnapshotError` if it cannot be served.
        """
        if live.version == version:
            return live
        entry = self._store.snapshots.get(version)
        folder, database_id = self._data_dir / entry.path, self._store.instance.database_id
        return open_snapshot(folder, database_id, entry.version, entry.digest, self._verified)

    def problem(self, entry: SnapshotEntry) -> str | None:
        """Why the snapshot cannot be served, as far as is seen without reading its arrays; None where that is fine."""
        return damage_at_a_glance(self._data_dir / entry.path, entry.digest)

    def _newest(self) -> SnapshotEntry:
        entries = self._store.snapshots.entries()
        if not entries:
            raise NotFoundError("snapshot", "latest")
        return entries[0]
