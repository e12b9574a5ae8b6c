"""What requests are answered from: the live snapshot with its catalogue, swapped as one reference."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from app.errors import ReckonError
from app.serving.catalogue import Catalogue
from app.serving.query import Rows
from app.snapshots import ActiveSnapshot, Refresh, Snapshot
from app.store.items import Items
from app.store.jobs import Jobs
from app.store.ratings import Ratings
from app.store.snapshots import SnapshotRegister

log = structlog.get_logger()
NO_KEYS: Rows = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Live:
    """One state of affairs for the whole of a request.

    `popular_rows`: catalogue rows, most popular first; newer items are not among them. `popularity`: score of a row
    by popularity alone, used while there is no snapshot.
    """

    snapshot: Snapshot | None
    catalogue: Catalogue
    popular_rows: Rows
    popularity: NDArray[np.float32]

    @property
    def version(self) -> int | None:
        return None if self.snapshot is None else self.snapshot.version

    def newer_vectors(self, rows: Rows) -> NDArray[np.float32]:
        """The item side (n, d) of rows that are newer than the snapshot."""
        vectors, places = self.catalogue.newer_vectors, rows - self.n_learned
        if self.snapshot is None or len(places) == 0 or places.max() < len(vectors):
            return vectors[places]
        # An item that is being added at this moment, in another thread, has a row before it has a vector.
        found = np.tile(self.snapshot.unrated_item, (len(places), 1))
        found[places < len(vectors)] = vectors[places[places < len(vectors)]]
        return found

    @property
    def n_learned(self) -> int:
        """Rows below have vectors; the rest came later."""
        return 0 if self.snapshot is None else self.snapshot.n_items


class LiveSnapshot:
    """Follows the register of snapshots; `current` is always ready to answer from."""

    def __init__(
        self,
        *,
        active: ActiveSnapshot,
        data_dir: Path,
        register: SnapshotRegister,
        items: Items,
        ratings: Ratings,
        jobs: Jobs,
    ) -> None:
        self._active = active
        self._data_dir = data_dir
        self._register = register
        self._items = items
        self._ratings = ratings
        self._jobs = jobs
        self._counted_changes = -1
        self._stopped = threading.Event()
        self.current = self._unlearned(Catalogue(items, NO_KEYS))
        self.poll()

    def at(self, catalogue_version: int) -> Live:
        """The current state, whose catalogue is at least at this version."""
        live = self.current
        if live.catalogue.version < catalogue_version:
            live.catalogue.refresh()
        return live

    def poll(self) -> None:
        """Look for another live snapshot, and load it aside; without one, count what is popular."""
        entry = self._register.live()
        folder = None if entry is None else self._data_dir / entry.path
        outcome = self._active.refresh(None if entry is None else entry.version, folder)
        if outcome is not Refresh.UNCHANGED:
            log.info(
                "snapshot", outcome=outcome.value, version=entry.version if entry else None, why=self._active.problem
            )
        if outcome is Refresh.OUTDATED:
            self._jobs.enqueue("outdated snapshot")
        snapshot = self._active.current
        if snapshot is None:
            catalogue = self.current.catalogue
            if self.current.snapshot is not None:
                self.current = self._unlearned(catalogue.rebased(NO_KEYS))
            elif self._ratings.change_count() != self._counted_changes:
                catalogue.refresh()
                self.current = self._unlearned(catalogue)
        elif snapshot is not self.current.snapshot:
            catalogue = self.current.catalogue.rebased(snapshot.item_keys, snapshot.vectors_of)
            popularity = np.empty(0, dtype=np.float32)
            self.current = Live(snapshot, catalogue, snapshot.popular_rows.astype(np.int64), popularity)

    def _unlearned(self, catalogue: Catalogue) -> Live:
        self._counted_changes = self._ratings.change_count()
        keys, counts = self._ratings.counts_by_item()
        popularity = np.zeros(len(catalogue), dtype=np.float32)
        rows = catalogue.rows_of_keys(keys)
        popularity[rows[rows >= 0]] = np.log1p(counts[rows >= 0])
        return Live(None, catalogue, np.argsort(-popularity, kind="stable"), popularity)

    def follow(self, poll_seconds: float, on_poll: Callable[[], None] = lambda: None) -> threading.Thread:
        """Poll in a thread until `stop`."""

        def run() -> None:
            while not self._stopped.wait(poll_seconds):
                try:
                    self.poll()
                    on_poll()
                except ReckonError as error:  # the database may be away for a while: what is served stays
                    log.warning("snapshot poll failed", why=error.detail)

        thread = threading.Thread(target=run, name="snapshot-poll", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        self._stopped.set()
