"""What requests are answered from: a scorer with its catalogue, swapped as one reference."""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from app.entities import to_microseconds
from app.errors import ReckonError, StorageUnavailableError
from app.observability.metrics import Lag
from app.scoring import ActiveSnapshot, Refresh, Scorer, popularity_scorer
from app.serving.catalogue import Catalogue
from app.serving.known_users import KnownUsers
from app.serving.rows import NO_ROWS, Rows
from app.serving.tokens import TokenSigner
from app.snapshots.fetching import SnapshotFetcher
from app.snapshots.folders import SnapshotFolders
from app.store.generation import Generation
from app.store.instance import Instance
from app.store.items import Items
from app.store.jobs import Jobs
from app.store.likes import Likes
from app.store.snapshots import SnapshotEntry, SnapshotRegister
from app.store.training_reads import ChangeCounts, TrainingReads
from app.store.trends import Trends

log = structlog.get_logger()

N_TRENDING = 1_000

SPREAD_SECONDS = 1.5
"""With object storage, each process waits a random time up to this one before it takes another snapshot: otherwise all
processes would download and verify at once."""

AWAITED_SECONDS = 60.0
"""A process without a snapshot that cannot bring the live one is not ready for this long; popular items are better than
no answer then."""


@dataclass(frozen=True, slots=True)
class ServingState:
    """One state for the whole of a request.

    `scorer`: of the live snapshot, or of popularity alone before anything is learned. Its rows are the first of the
    catalogue; later ones are items newer than it. `popular_rows`: the rows of the scorer, most popular first.
    `trending_rows`: by trend score, highest first, with their `trend_scores`. `popularity_digest`: of the counts behind
    a scorer of popularity alone, empty for a snapshot. Both digests are equal where the states of two processes are.
    `tops`: category code -> catalogue version and rows, filled by the category source. `generation`: of the database
    that all of it was read from.

    `version`: of the snapshot, None before anything is learned. `n_learned`: rows below were learned, the others are
    newer than the snapshot; 0 before anything is learned.
    """

    scorer: Scorer
    catalogue: Catalogue
    generation: str
    popularity_digest: bytes = b""
    trending_rows: Rows = field(default_factory=lambda: NO_ROWS)
    trend_scores: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    trends_digest: bytes = b""
    tops: dict[int, tuple[int, Rows]] = field(default_factory=dict)
    popular_rows: Rows = field(init=False)
    version: int | None = field(init=False)
    n_learned: int = field(init=False)

    def __post_init__(self) -> None:
        # Fields and not properties: a request reads them a dozen times.
        scorer = self.scorer
        object.__setattr__(self, "popular_rows", scorer.arrays.popular_rows.astype(np.int64))
        object.__setattr__(self, "version", scorer.version)
        object.__setattr__(self, "n_learned", scorer.n_items if scorer.is_learned else 0)

    def vectors_of(self, rows: Rows) -> NDArray[np.float32]:
        """(n, d) the dense item side of rows (n,); of items newer than the scorer, by their features."""
        item_vectors = self.scorer.item_vectors
        is_held = rows < len(item_vectors)
        if is_held.all():  # nearly always, and one `take` is faster than two indexed copies
            return item_vectors.take(rows, axis=0)
        vectors = np.empty((len(rows), item_vectors.shape[1]), dtype=np.float32)
        vectors[is_held] = item_vectors[rows[is_held]]
        vectors[~is_held] = self.newer_vectors(rows[~is_held])
        return vectors

    def vectors_between(self, start: int, stop: int) -> NDArray[np.float32]:
        """As `vectors_of`, of the rows from `start` up to `stop`; those of the snapshot are not copied."""
        item_vectors = self.scorer.item_vectors
        if stop <= len(item_vectors):
            return item_vectors[start:stop]
        return self.vectors_of(np.arange(start, stop))

    def newer_vectors(self, rows: Rows) -> NDArray[np.float32]:
        """The item side (n, d) of rows that are newer than the scorer."""
        vectors, places = self.catalogue.newer_vectors, rows - self.scorer.n_items
        is_described = places < len(vectors)
        if len(vectors) and is_described.all():
            return vectors[places]
        # Popularity describes no newer item; and an item that another thread is adding at this moment has a row before
        # it has a vector.
        padded = np.tile(self.scorer.arrays.unrated_item, (len(places), 1))
        if is_described.any():
            padded[is_described] = vectors[places[is_described]]
        return padded


@dataclass(frozen=True, slots=True)
class Damage:
    """`reason`: why the live snapshot is not served, and what is. `advice`: what to do about it."""

    reason: str
    advice: str


class ServingStateHolder:
    """Follows the register of snapshots; `current` is always complete."""

    def __init__(
        self,
        *,
        active: ActiveSnapshot,
        folders: SnapshotFolders,
        fetcher: SnapshotFetcher,
        register: SnapshotRegister,
        items: Items,
        likes: Likes,
        training_reads: TrainingReads,
        trends: Trends,
        jobs: Jobs,
        instance: Instance,
        generation: Generation,
        known_users: KnownUsers,
        tokens: TokenSigner,
        lag: Lag,
        count_failure: Callable[[], None],
        forget_users: Callable[[], None],
    ) -> None:
        """`forget_users`: drops what the process remembers of users, for one was erased."""
        self._active = active
        self._folders = folders
        self._fetcher = fetcher
        self._register = register
        self._items = items
        self._likes = likes
        self._training_reads = training_reads
        self._trends = trends
        self._jobs = jobs
        self._instance = instance
        self._generation = generation
        self._known_users = known_users
        self._tokens = tokens
        self._polling = threading.RLock()
        self._lag = lag
        self._count_failure = count_failure
        self._forget_users = forget_users
        self._n_erasures = generation.n_erasures
        self._since = datetime.now(UTC)
        self._counted_changes = ChangeCounts(-1, -1)
        self._stopped = threading.Event()
        # Versions that this process could not open and has requested a run for.
        self._trained_instead: set[int] = set()
        # The live snapshot while it is not on this machine.
        self._absent: SnapshotEntry | None = None
        # Versions whose damaged copies this process has given up, once each.
        self._distrusted: set[int] = set()
        self._registered: Collection[int] | None = None
        # The next snapshot, and when this process takes it.
        self._turn: tuple[int, float] = (0, 0.0)
        self._is_settled = folders.bucket is None
        self._began_at = time.monotonic()
        # A process that cannot load the live snapshot at its start answers popular items until it can load one.
        self._reported(self._follow_register)
        self._reported(self._follow_removals)
        self.current = self._anew(generation.check())
        self._tokens.follow(self.current.generation, instance.token_key)
        self._reported(self._follow_trends)

    @property
    def damage(self) -> Damage | None:
        """What an operator should know where the live snapshot is not the one served."""
        served = self._active.current
        instead = "popular items are listed" if served is None else f"snapshot {served.version} serves"
        absent = self._absent
        if absent is not None and (unfetched := self._fetcher.problem(absent.version)) is not None:
            return Damage(
                f"the live snapshot {absent.version} cannot be fetched, so {instead}: {unfetched.why}",
                f"{unfetched.advice} This process tries again by itself.",
            )
        if not (problem := self._active.problem):
            return None
        return Damage(
            f"the live snapshot cannot be served, so {instead}: {problem}",
            "A training run was requested, and what it publishes goes live unless a snapshot is pinned. Look at "
            "`reckon snapshots list`, put the folder back, or activate another snapshot.",
        )

    @property
    def awaited(self) -> str | None:
        """Why requests should go to other processes: this one has just started, and the live snapshot is on its way.

        None once it is served, or cannot be brought for now.
        """
        if self._is_settled:
            return None
        absent = self._absent
        return "the live snapshot is not known yet" if absent is None else f"snapshot {absent.version} is being fetched"

    def poll(self) -> None:
        """Look for another live snapshot and load it aside; without one, count what is popular.

        After a restore of the database, drop everything and load it anew.
        """
        with self._polling:
            self.check_generation()
            self._follow_erasures()
            try:
                self._follow_register()
            finally:
                # Where the live snapshot cannot be loaded, another one may have taken its place.
                self._follow_scorer()
            self._follow_trends()
            self._follow_removals()

    def check_generation(self) -> None:
        """Drop everything that was remembered, and load it anew, if the database was restored. Blocks."""
        # Without the lock, which a poll holds as long as it loads a snapshot.
        if self._generation.check() == self.current.generation:
            return
        with self._polling:
            generation = self._generation.check()
            if generation == self.current.generation:
                return  # another thread was first
            self._instance.reload()
            self._active.forget(self._instance.database_id)
            self._tokens.follow(generation, self._instance.token_key)
            try:
                self._follow_register()
            except ReckonError:  # of the database: nothing is answered until it can be read
                raise
            except Exception:
                # As in `_reported`: a snapshot that cannot be loaded must not keep all requests waiting.
                self._count_failure()
                log.exception("snapshot poll failed")
            self.current = self._anew(generation)
            self._follow_trends()

    def _follow_erasures(self) -> None:
        n_erasures = self._generation.n_erasures
        if n_erasures != self._n_erasures:
            self._forget_users()
            self._n_erasures = n_erasures

    def _follow_register(self) -> None:
        entry = self._register.live()
        if entry is None:
            self._absent, self._is_settled = None, True
            if self._active.refresh(None, None) is not Refresh.UNCHANGED:
                log.info("snapshot", outcome=Refresh.CLEARED.value)
            return
        if not self._is_turn(entry) or not self._has_brought(entry):
            return
        outcome = Refresh.DAMAGED  # by whatever a forged file raises
        try:
            outcome = self._active.refresh(entry.version, self._folders.local(entry), entry.digest)
        finally:
            if outcome is not Refresh.UNCHANGED:
                write = log.info if outcome is Refresh.SWAPPED else log.warning
                write("snapshot", outcome=outcome.value, version=entry.version, why=self._active.problem)
            if outcome is Refresh.SWAPPED:
                # What is remembered is of another snapshot; a request in flight may have remembered a user once more.
                self._forget_users()
            if outcome is Refresh.DAMAGED and self._distrust(entry):
                self._has_brought(entry)
            else:
                self._is_settled = True
                if self._active.problem:
                    self._substitute(entry)
                if outcome in {Refresh.DAMAGED, Refresh.OUTDATED}:
                    self._train_instead(entry, f"{outcome.value} snapshot")
        if outcome is Refresh.SWAPPED and entry.created_at > self._since:
            self._lag.took_effect("snapshot", entry.version, to_microseconds(entry.created_at))

    def _is_turn(self, entry: SnapshotEntry) -> bool:
        """Whether this process takes the live snapshot now: at once if it has none, or there is no object storage."""
        served = self._active.current
        if self._folders.bucket is None or served is None or served.version == entry.version:
            return True
        version, at = self._turn
        if version != entry.version:
            at = time.monotonic() + SPREAD_SECONDS * random.random()  # noqa: S311  no secret
            self._turn = entry.version, at
        return time.monotonic() >= at

    def _has_brought(self, entry: SnapshotEntry) -> bool:
        """Whether the live snapshot is served already, or is on this machine. If it is not, it is being brought."""
        served = self._active.current
        is_served = served is not None and served.version == entry.version
        if is_served or self._folders.is_here(entry):
            self._absent = None
            return True
        self._absent = entry
        self._fetcher.want(entry)
        if (problem := self._fetcher.problem(entry.version)) is not None:
            self._substitute(entry, is_storage_up=problem.is_damage)
            if problem.is_damage:
                self._train_instead(entry, "damaged snapshot")
            has_waited = time.monotonic() - self._began_at > AWAITED_SECONDS
            self._is_settled |= self._active.current is not None or has_waited
        return False

    def _distrust(self, entry: SnapshotEntry) -> bool:
        """Give up a damaged copy of what object storage has; whether it is brought anew."""
        if entry.version in self._distrusted or not self._folders.distrust(entry):
            return False
        self._distrusted.add(entry.version)
        self._active.reconsider(entry.version)
        return True

    def _follow_removals(self) -> None:
        """Remove copies of snapshots that are no longer registered: they may hold users who were erased."""
        if self._folders.bucket is None:
            return
        registered = self._register.versions()
        # Later, while a run on this machine has written a snapshot that it is about to register.
        if registered != self._registered and self._folders.remove_unregistered(self._register.versions):
            self._registered = registered

    def _substitute(self, live: SnapshotEntry, *, is_storage_up: bool = True) -> None:
        """Serve the newest snapshot that can be opened in place of the live one, which cannot.

        `is_storage_up`: whether one that is not on this machine can be brought.

        One that is served already because it used to be live stays: lists would change without becoming better.
        """
        if self._active.current is not None and not self._active.is_substitute:
            return
        served = self._served_version
        for entry in self._register.entries():
            if entry.version <= served:
                return
            # Users who were erased since must not come back.
            if entry.version == live.version or entry.n_erasures < live.n_erasures:
                continue
            if not self._folders.is_here(entry):
                if is_storage_up:
                    self._fetcher.want(entry)
                    if self._fetcher.problem(entry.version) is None:
                        return  # it is on its way, and the next poll opens it
                continue
            if self._active.substitute(entry.version, self._folders.local(entry), entry.digest):
                log.warning("another snapshot serves", version=entry.version, live=live.version)
                return

    @property
    def _served_version(self) -> int:
        """0 without a snapshot."""
        return (self._active.current and self._active.current.version) or 0

    def _train_instead(self, live: SnapshotEntry, trigger: str) -> None:
        """Request a run where nothing newer than the live snapshot, which cannot be opened, serves."""
        if self._served_version > live.version:
            return
        # Where the run publishes nothing, it is requested again, as any automatic run is: after a growing pause.
        is_first = live.version not in self._trained_instead
        if is_first or not self._jobs.is_busy_or_resting(self._jobs.now()):
            self._trained_instead.add(live.version)
            self._jobs.enqueue(trigger)

    def _follow_scorer(self) -> None:
        scorer, catalogue = self._active.current, self.current.catalogue
        if scorer is None:
            if self.current.scorer.is_learned:
                self.current = self._by_popularity(catalogue.rebased(NO_ROWS), self.current.generation)
            elif self._training_reads.change_counts() != self._counted_changes:
                catalogue.refresh()
                self.current = self._by_popularity(catalogue, self.current.generation)
        elif scorer is not self.current.scorer:
            rebased = catalogue.rebased(scorer.arrays.item_keys, scorer.vectors_of)
            self.current = ServingState(scorer, rebased, self.current.generation)

    def _follow_trends(self) -> None:
        # Trends age by themselves, but in the same proportion: only a changed order is a changed state.
        keys, scores = self._trends.top_trending("", N_TRENDING)
        rows = self.current.catalogue.rows_of_keys(keys)
        trending, scores = rows[rows >= 0], scores[rows >= 0]
        if not np.array_equal(trending, self.current.trending_rows):
            digest = _digest(self.current.catalogue.keys[trending])
            self.current = replace(self.current, trending_rows=trending, trend_scores=scores, trends_digest=digest)
        elif not np.array_equal(scores, self.current.trend_scores):
            self.current = replace(self.current, trend_scores=scores)

    def _anew(self, generation: str) -> ServingState:
        """The state of the snapshot that is loaded, with a catalogue read anew; by popularity if none is."""
        scorer = self._active.current
        if scorer is None:
            return self._by_popularity(Catalogue(self._items, NO_ROWS), generation)
        catalogue = Catalogue(self._items, scorer.arrays.item_keys, scorer.vectors_of)
        return ServingState(scorer, catalogue, generation)

    def _by_popularity(self, catalogue: Catalogue, generation: str) -> ServingState:
        """A state whose scorer knows popularity alone, by the ratings and events stored now."""
        # The changes are read first: what is stored in between is counted again by the next poll.
        self._counted_changes = self._training_reads.change_counts()
        scale = self._instance.scale()
        counted = self._likes.by_item(scale.liked_from)
        keys = catalogue.keys.copy()
        choices, likes = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
        rows = catalogue.rows_of_keys(counted.item_key)
        is_counted = (rows >= 0) & (rows < len(keys))  # not deleted, and not added since
        choices[rows[is_counted]], likes[rows[is_counted]] = counted.choices[is_counted], counted.likes[is_counted]
        scorer = popularity_scorer(keys, choices, likes, scale)
        # Of keys and counts by row, because the row orders equal counts.
        return ServingState(scorer, catalogue, generation, _digest(keys, choices, likes))

    def _reported(self, follow: Callable[[], None]) -> None:
        """Calls it; logs and counts a failure, after which the snapshot served before stays."""
        try:
            follow()
        except StorageUnavailableError as error:
            # The breaker logs the begin and the end of an outage; a line for each poll would bury them.
            self._count_failure()
            log.debug("snapshot poll failed", why=error.detail)
        except ReckonError as error:
            self._count_failure()
            log.warning("snapshot poll failed", why=error.detail)
        except Exception:
            # FAISS and numpy raise errors of many classes for a forged file. None of them may end the polling: the
            # process would never load another snapshot.
            self._count_failure()
            log.exception("snapshot poll failed")

    def _follow_users(self) -> None:
        """Not a part of `poll`, which a start waits for: a million users take seconds."""
        with suppress(ReckonError):  # of the database; what is known stays
            n_deleted = self._generation.n_erased + self._generation.n_erasures
            self._known_users.refresh(self.current.generation, n_deleted)

    def look(self) -> None:
        """One turn of `follow`."""
        self._reported(self.poll)
        self._follow_users()

    def follow(self, poll_seconds: float) -> threading.Thread:
        """Poll in a thread until `stop`, whatever a poll raises."""

        def run() -> None:
            while not self._stopped.wait(poll_seconds):
                self.look()

        thread = threading.Thread(target=run, name="snapshot-poll", daemon=True)
        thread.start()
        return thread

    def stop(self) -> None:
        self._stopped.set()
        self._fetcher.stop()

    def release(self) -> None:
        """Give back the memory of what is served; nothing can be answered from then on.

        The objects of a service refer to one another, and would keep the arrays until a full garbage collection.
        """
        self._forget_users()
        self._active.forget(self._instance.database_id)
        del self.current


def _digest(*arrays: NDArray[Any]) -> bytes:
    """Empty for empty arrays, so that they equal arrays that were never filled."""
    if not any(map(len, arrays)):
        return b""
    digest = hashlib.blake2b(digest_size=12)
    for array in arrays:
        digest.update(array.tobytes())
    return digest.digest()
