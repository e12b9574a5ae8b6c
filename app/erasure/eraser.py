"""Completes erasures: removes what is left of deleted users in snapshots, files of imports and the database."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from app.intake.uploads import Uploads
from app.snapshots.folders import SnapshotFolders
from app.store.erasures import Erasure
from app.store.store import Store
from app.training.unregistered import remove_unregistered_objects

REJECTED_FOLDER = "rejected"
"""Below the data folder: where imports write rejected rows."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Eraser:
    store: Store
    folders: SnapshotFolders

    def proceed(self) -> bool:
        """Completes the erasures that can be completed now; returns whether there were any.

        Idempotent: after a crash in any step, the next call goes on. Raises `UnavailableError` where the database
        cannot be written anew at the moment, `StorageFullError` where there is no room for that,
        `ObjectStorageError` where objects of snapshots cannot be removed, and `PrefixTakenError` where they are
        those of another service.
        """
        # A restore that was killed may have left users who were erased long ago.
        self.store.database.remove_leftovers()
        ready = self._ready(self.store.erasures.pending())
        if not ready:
            return False
        # Without ratings and events no run can publish another snapshot, so the live one goes as well.
        is_empty = not self._can_learn()
        retired = self.store.erasures.retire_snapshots(ready, with_live=is_empty)
        self.folders.remove(retired, self.store.instance.database_id)
        if self._has_leftovers():
            return False
        n_rejected = self._remove_rejected_rows()
        # A file that was uploaded before may hold the user, and would bring the user back.
        Uploads(self.folders.data_dir).purge(max(each.requested_at for each in ready).timestamp())
        self.store.erasures.purge(ready)
        live = self.store.snapshots.live()
        live_version = None if live is None else live.version
        self.store.erasures.complete(ready, snapshot_version=live_version, n_rejected_files=n_rejected)
        log.info("erasures completed", erasure_ids=[each.erasure_id for each in ready], snapshot_version=live_version)
        return True

    def _ready(self, pending: Sequence[Erasure]) -> Sequence[Erasure]:
        """Those whose users the live snapshot does not hold; all of them where there is nothing to learn from."""
        if not pending:
            return ()
        live = self.store.snapshots.live()
        if live is not None and self._can_learn():
            return [each for each in pending if each.number <= live.n_erasures]
        # A run may have read the users before they were deleted, and publish them yet.
        is_running = any(job.state == "running" for job in self.store.jobs.latest())
        return () if is_running else pending

    def _can_learn(self) -> bool:
        """Whether there is anything to learn from, in the database or in files that the live snapshot was read from."""
        live = self.store.snapshots.live()
        reads_files = live is not None and live.source is not None
        return reads_files or self.store.training_reads.has_ratings_or_events()

    def _has_leftovers(self) -> bool:
        """Whether there are folders of runs that were killed, which may hold the users; `tidy` removes them."""
        if self.folders.leftovers(self.store.snapshots.versions()):
            return True
        return not remove_unregistered_objects(self.store, self.folders)

    def _remove_rejected_rows(self) -> int:
        # The deletions removed those in the database. An import that ran at the time may have kept others since.
        self.store.imports.forget_rows()
        files = [path for path in (self.folders.data_dir / REJECTED_FOLDER).glob("*") if path.is_file()]
        for path in files:
            path.unlink(missing_ok=True)
        return len(files)
