"""The snapshot being served: one reference, replaced whole while requests are answered."""

import math
import threading
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from app.scoring.publication import open_snapshot
from app.scoring.scorer import PublishedScorer
from app.snapshots.errors import SnapshotDamagedError, SnapshotError, SnapshotForeignError, SnapshotOutdatedError

RETRY_SECONDS = 60.0
"""A refused folder is read again after this long: a volume may have been mounted late. A damaged file stays damaged."""


class Refresh(Enum):
    """The outcome of `ActiveSnapshot.refresh`. The caller logs all but `UNCHANGED`, and trains on `OUTDATED`."""

    UNCHANGED = "unchanged"
    SWAPPED = "swapped"
    CLEARED = "cleared"
    DAMAGED = "damaged"
    FOREIGN = "foreign"
    OUTDATED = "outdated"


REFUSALS = {
    SnapshotDamagedError: Refresh.DAMAGED,
    SnapshotForeignError: Refresh.FOREIGN,
    SnapshotOutdatedError: Refresh.OUTDATED,
}


class ActiveSnapshot:
    """Holds the scorer that requests are answered from.

    A request reads `current` once and keeps it; a swap is the assignment of one reference. The files of a replaced
    snapshot stay mapped until the last request that uses it ends.
    """

    current: PublishedScorer | None
    problem: str
    """Why the live snapshot is not the one served; empty while it is."""
    is_substitute: bool
    """Whether `current` stands in for the live snapshot, because that one cannot be opened."""

    def __init__(self, database_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._database_id = database_id
        self._clock = clock
        # Version -> until when it is not read again.
        self._refused: dict[int, float] = {}
        self._serve(None)
        self._refreshing = threading.Lock()

    def refresh(self, live_version: int | None, folder: Path | None, digest: str | None = None) -> Refresh:
        """Serve `live_version`, the snapshot in `folder` with the `digest`; None for all where nothing is published.

        Where the folder cannot be served, what is served now stays, and the folder is not read again for
        `RETRY_SECONDS`. Only the caller that loads waits; another caller meanwhile gets `UNCHANGED`.
        """
        # Loading takes seconds; a second poll must not load the same folder again.
        if not self._refreshing.acquire(blocking=False):
            return Refresh.UNCHANGED
        try:
            return self._refresh(live_version, folder, digest)
        finally:
            self._refreshing.release()

    def substitute(self, version: int, folder: Path, digest: str | None = None) -> bool:
        """Serve a snapshot in place of the live one, which was refused; whether it could be opened.

        One that is refused is not read again for `RETRY_SECONDS`.
        """
        with self._refreshing:
            if self._is_refused(version):
                return False
            try:
                scorer = open_snapshot(folder, self._database_id, version, digest)
            except Exception:  # noqa: BLE001  whatever a forged file raises, the next one is tried
                self._refused[version] = self._clock() + RETRY_SECONDS
                return False
            self.current, self.is_substitute = scorer, True
            return True

    def reconsider(self, version: int) -> None:
        """Read a snapshot that was refused again at once: its folder has been brought anew."""
        self._refused.pop(version, None)

    def forget(self, database_id: str) -> None:
        """Serve nothing until the next refresh, because the database was restored and may have the other id.

        A version number may mean another snapshot now: it is counted on from that of the restored state.
        """
        with self._refreshing:
            self._serve(None)
            self._database_id = database_id

    def _refresh(self, live_version: int | None, folder: Path | None, digest: str | None) -> Refresh:
        served = None if self.current is None else self.current.version
        # A version is never changed after it is published, so equal numbers mean equal files.
        if live_version == served:
            self._serve(self.current)
        elif live_version is None or folder is None:
            self._serve(None)
            return Refresh.CLEARED
        elif not self._is_refused(live_version):
            return self._swap(live_version, folder, digest)
        return Refresh.UNCHANGED

    def _serve(self, live: PublishedScorer | None) -> None:
        # Last what is served: a reader of both must not find the problem of another snapshot.
        self.problem, self.is_substitute, self.current = "", False, live
        self._refused.clear()

    def _swap(self, version: int, folder: Path, digest: str | None) -> Refresh:
        try:
            scorer = open_snapshot(folder, self._database_id, version, digest)
        # `current` keeps the old scorer: an old list is better than none.
        except SnapshotError as error:
            self._refuse(version, error.detail)
            return REFUSALS[type(error)]
        except Exception as error:
            # Reading a large folder again at every poll would load the disk for nothing.
            self._refuse(version, f"{type(error).__name__} while loading")
            raise
        self._serve(scorer)
        return Refresh.SWAPPED

    def _refuse(self, version: int, problem: str) -> None:
        self._refused[version], self.problem = self._clock() + RETRY_SECONDS, problem

    def _is_refused(self, version: int) -> bool:
        return self._clock() < self._refused.get(version, -math.inf)
