"""What requests are answered from: the active snapshot with its catalogue, swapped as one reference."""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from app.entities import to_microseconds
from app.errors import ReckonError
from app.observability.metrics import Lag
from app.scoring import ActiveSnapshot, Refresh, Scorer
from app.serving.catalogue import Catalogue
from app.serving.rows import NO_ROWS, Rows
from app.store.items import Items
from app.store.jobs import Jobs
from app.store.ratings import Ratings
from app.store.snapshots import SnapshotRegister
from app.store.trends import Trends

log = structlog.get_logger()
NO_KEYS: Rows = np.empty(0, dtype=np.int64)

N_TRENDING = 1_000


@dataclass(frozen=True, slots=True)
class ServingState:
    """One state for the whole of a request.

    `popular_rows`: catalogue rows, most popular first; items newer than the snapshot are not among them. `popularity`:
    (n counted rows,) the score of a row by popularity alone, used while there is no snapshot. `trending_rows`: what is
    rated and used most of late, first. `popularity_digest`, `trends_digest`: the same in every process that holds the
    same. `tops`: category code -> catalogue version and rows, filled by the category source.

    `version`: of the snapshot, None before anything is learned. `n_learned`: rows below have vectors, the others are
    newer than the snapshot.
    """

    snapshot: Scorer | None
    catalogue: Catalogue
    popular_rows: Rows
    popularity: NDArray[np.float32]
    popularity_digest: bytes = b""
    trending_rows: Rows = field(default_factory=lambda: NO_ROWS)
    trends_digest: bytes = b""
    tops: dict[int, tuple[int, Rows]] = field(default_factory=dict)
    version: int | None = field(init=False)
    n_learned: int = field(init=False)

    def __post_init__(self) -> None:
        # Fields and not properties: a request reads them a dozen times.
        object.__setattr__(self, "version", None if self.snapshot is None else self.snapshot.version)
        object.__setattr__(self, "n_learned", 0 if self.snapshot is None else self.snapshot.n_items)

    def newer_vectors(self, rows: Rows) -> NDArray[np.float32]:
        """The item side (n, d) of rows that are newer than the snapshot."""
        vectors, places = self.catalogue.newer_vectors, rows - self.n_learned
        if self.snapshot is None or len(places) == 0 or places.max() < len(vectors):
            return vectors[places]
        # An item that another thread is adding at this moment has a row before it has a vector.
        padded = np.tile(self.snapshot.unrated_item, (len(places), 1))
        padded[places < len(vectors)] = vectors[places[places < len(vectors)]]
        return padded


class ServingStateHolder:
    """Follows the register of snapshots; `current` is always complete."""

    def __init__(
        self,
        *,
        active: ActiveSnapshot,
        data_dir: Path,
        register: SnapshotRegister,
        items: Items,
        ratings: Ratings,
        trends: Trends,
        jobs: Jobs,
        lag: Lag,
        count_failure: Callable[[], None],
    ) -> None:
        self._active = active
        self._data_dir = data_dir
        self._register = register
        self._items = items
        self._ratings = ratings
        self._trends = trends
        self._jobs = jobs
        self._lag = lag
        self._count_failure = count_failure
        self._since = datetime.now(UTC)
        self._counted_changes = -1
        self._stopped = threading.Event()
        self.current = self._unlearned(Catalogue(items, NO_KEYS))
        # A process that starts beside a snapshot it cannot load answers popular items until it can load one.
        self._poll_and_report()

    def poll(self) -> None:
        """Looks for another live snapshot and loads it aside; without one, counts what is popular."""
        entry = self._register.live()
        folder = None if entry is None else self._data_dir / entry.path
        outcome = self._active.refresh(None if entry is None else entry.version, folder)
        if outcome is not Refresh.UNCHANGED:
            log.info(
                "snapshot", outcome=outcome.value, version=entry.version if entry else None, why=self._active.problem
            )
        if outcome is Refresh.OUTDATED:
            self._jobs.enqueue("outdated snapshot")
        if outcome is Refresh.SWAPPED and entry is not None and entry.created_at > self._since:
            self._lag.took_effect("snapshot", entry.version, to_microseconds(entry.created_at))
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
            self.current = ServingState(snapshot, catalogue, snapshot.popular_rows.astype(np.int64), popularity)
        self._follow_trends()

    def _follow_trends(self) -> None:
        # Trends age by themselves, but in the same proportion: only a changed order is a changed state.
        keys, _ = self._trends.top_trending("", N_TRENDING)
        rows = self.current.catalogue.rows_of_keys(keys)
        trending = rows[rows >= 0]
        if not np.array_equal(trending, self.current.trending_rows):
            digest = _digest(self.current.catalogue.keys[trending])
            self.current = replace(self.current, trending_rows=trending, trends_digest=digest)

    def _unlearned(self, catalogue: Catalogue) -> ServingState:
        self._counted_changes = self._ratings.change_count()
        keys, counts = self._ratings.counts_by_item()
        popularity = np.zeros(len(catalogue), dtype=np.float32)
        rows = catalogue.rows_of_keys(keys)
        popularity[rows[rows >= 0]] = np.log1p(counts[rows >= 0])
        digest = _digest(catalogue.keys[: len(popularity)], popularity)  # by row, which orders equal counts
        return ServingState(None, catalogue, np.argsort(-popularity, kind="stable"), popularity, digest)

    def _poll_and_report(self) -> None:
        """As `poll`; logs and counts a failure, after which the snapshot served before stays."""
        try:
            self.poll()
        except ReckonError as error:  # the database may be away for a while
            self._count_failure()
            log.warning("snapshot poll failed", why=error.detail)
        except Exception:
            # FAISS and numpy raise errors of many classes for a forged file. None of them may end the polling: the
            # process would never load another snapshot.
            self._count_failure()
            log.exception("snapshot poll failed")

    def follow(self, poll_seconds: float) -> threading.Thread:
        """Poll in a thread until `stop`, whatever a poll raises."""

        def run() -> None:
            while not self._stopped.wait(poll_seconds):
                self._poll_and_report()

        thread = threading.Thread(target=run, name="snapshot-poll", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        self._stopped.set()


def _digest(*arrays: NDArray[Any]) -> bytes:
    """Empty for empty arrays, so that they equal arrays that were never filled."""
    if not any(map(len, arrays)):
        return b""
    digest = hashlib.blake2b(digest_size=12)
    for array in arrays:
        digest.update(array.tobytes())
    return digest.digest()
