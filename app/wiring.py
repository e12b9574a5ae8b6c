"""Builds all objects from the settings, once for each application.

Each object receives only the objects that it uses. Nothing is global, so a process can hold several applications.
"""

import os
import shutil
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from app.auth.key_ring import KeyRing
from app.auth.rate_limits import RateLimits
from app.auth.refusals import Refusals
from app.auth.user_tokens import UserTokens
from app.errors import ReckonError
from app.intake.recording import EventRecorder, RatingRecorder
from app.observability.metrics import SHARED_FOLDER, Lag, Metrics
from app.observability.processes import read_processes
from app.observability.shown_items import ShownItems
from app.observability.states import (
    CatalogueState,
    DiskState,
    ErasureState,
    SnapshotState,
    StateReaders,
    TrainingState,
)
from app.scoring import ActiveSnapshot
from app.serving.catalogue import Catalogue
from app.serving.charts import ChartReader
from app.serving.data_quality import RememberedDataQuality
from app.serving.exclusion import ExclusionExplainer
from app.serving.home import HomePage
from app.serving.known_users import KnownUsers
from app.serving.mixes import Mixer
from app.serving.placement_config import PlacementConfigHolder
from app.serving.placement_editor import PlacementEditor
from app.serving.placement_watch import PlacementWatch
from app.serving.predictions import RatingPredictor
from app.serving.published import PublishedSnapshots
from app.serving.rankings import CandidateRanker
from app.serving.recommend import Recommender
from app.serving.request_state import RequestStates
from app.serving.response_cache import ResponseCache
from app.serving.search import Searcher
from app.serving.serving_state import ServingStateHolder
from app.serving.similar import SimilarItemFinder
from app.serving.similar_users import SimilarUserFinder
from app.serving.tokens import TokenSigner
from app.serving.user_state import UserStates
from app.serving.work_threads import WorkThreads
from app.settings import Settings
from app.snapshots.bucket import SnapshotBucket
from app.snapshots.fetching import AwaitedDownloads, SnapshotFetcher
from app.snapshots.folders import SnapshotFolders
from app.store import WAIT_SECONDS, Store
from app.store.arrivals import FLUSH_SECONDS
from app.store.connection_budget import ConnectionBudget
from app.store.jobs import Job
from app.store.migration import SchemaError
from app.store.read_replica import ReadReplica
from app.store.serving_reads import ServingReads

log = structlog.get_logger()


def open_store(
    settings: Settings, *, wait_seconds: float | None = None, budget: ConnectionBudget | None = None
) -> Store:
    """Open the database of the settings. Raises `ReckonError` if it cannot be used.

    `wait_seconds`: how long writers wait for others; None: for long, in a process that answers no requests. `budget`:
    as of `open_database`.
    """
    return Store.open(
        settings.database_url,
        settings.data_dir,
        rejects_unknown_items=settings.unknown_items == "reject",
        wait_seconds=wait_seconds,
        budget=budget,
    )


def snapshot_folders(settings: Settings) -> SnapshotFolders:
    """Return where the snapshots are: in the data folder alone, or in object storage as well. Asks nothing of it."""
    url = settings.snapshot_url
    return SnapshotFolders(settings.data_dir, SnapshotBucket.at(url) if url else None)


def open_replica(settings: Settings, store: Store, metrics: Metrics, budget: ConnectionBudget | None) -> ReadReplica:
    """The read replica of the database of the store.

    Raises `SchemaError` if it is no copy of it; one that does not answer now may do so later.
    """
    replica = ReadReplica.open(settings.database_read_url, metrics.count_replica_read, budget)
    try:
        replica.check(store.database)
    except SchemaError:
        replica.close()
        raise
    except ReckonError as error:
        log.warning("read replica does not answer", why=error.detail)
    return replica


@dataclass(frozen=True, slots=True)
class Control:
    """What belongs to the deployment and not to a catalogue: the API keys and what they allow."""

    store: Store
    keys: KeyRing
    limits: RateLimits
    user_tokens: UserTokens
    refusals: Refusals

    @classmethod
    def build(cls, settings: Settings, store: Store) -> "Control":
        """`store`: of the main database, which keeps the keys."""
        keys = KeyRing(store.api_keys, requires_keys=settings.require_keys)
        user_tokens = UserTokens(lambda: store.instance.token_key, keys)
        counts = Path(settings.rate_limits_file) if settings.rate_limits_file else None
        return cls(store, keys, RateLimits(counts), user_tokens, Refusals())


@dataclass(frozen=True, slots=True)
class Service:
    """The objects that the handlers of the API use; each application has its own."""

    store: Store
    replica: ReadReplica | None
    threads: WorkThreads
    serving: ServingStateHolder
    config: PlacementConfigHolder
    placement_editor: PlacementEditor
    request_states: RequestStates
    user_states: UserStates
    recommender: Recommender
    unseen_recommender: Recommender
    """For lists that operators look at: no metric counts them."""
    exclusion: ExclusionExplainer
    rankings: CandidateRanker
    searcher: Searcher
    predictor: RatingPredictor
    home_page: HomePage
    mixer: Mixer
    similar_items: SimilarItemFinder
    similar_users: SimilarUserFinder
    charts: ChartReader
    rating_recorder: RatingRecorder
    event_recorder: EventRecorder
    cache: ResponseCache
    tokens: TokenSigner
    metrics: Metrics
    erased_within: timedelta
    published: PublishedSnapshots
    downloads: AwaitedDownloads
    data_quality: RememberedDataQuality

    @classmethod
    def build(
        cls, settings: Settings, *, beside: "Service | None" = None, budget: ConnectionBudget | None = None
    ) -> "Service":
        """Build the service. Raises `ReckonError` if the database of the settings cannot be used.

        `beside`: the main service, if this is of a tenant: they share the threads, since those are few on purpose, the
        metrics, and the downloads, which all end with the process. `budget`: of the connections of all tenants.
        """
        store = open_store(settings, wait_seconds=WAIT_SECONDS, budget=budget)
        # Snapshots carry the id of their database, so one from another database is refused.
        active = ActiveSnapshot(store.instance.database_id)
        shown_items = None
        if beside is None:
            shown = shown_items = ShownItems(os.environ.get(SHARED_FOLDER))
            # Functions, because the metrics must report what is so when they are read.
            states = StateReaders(
                snapshot=lambda: _snapshot_state(active),
                erasures=lambda: _erasure_state(store),
                training=lambda: _training_state(store),
                catalogue=lambda: _catalogue_state(serving.current.catalogue, shown),
                disk=lambda: _disk_state(settings.data_dir),
                processes=read_processes,
                is_database_up=lambda: store.availability.outage is None,
            )
            metrics = Metrics(states)
        else:
            metrics = beside.metrics.without_names()
        lag = Lag(metrics.observe_lag)
        replica = open_replica(settings, store, metrics, budget) if settings.database_read_url else None
        reads = ServingReads(store.database, replica)
        known_users = KnownUsers(store.users)
        # The key is stored in the database, so that every process accepts the cursors of the others.
        tokens = TokenSigner(store.instance.token_key)
        threads = WorkThreads() if beside is None else beside.threads
        downloads = AwaitedDownloads() if beside is None else beside.downloads
        folders = snapshot_folders(settings)
        cache, user_states = ResponseCache(), UserStates(reads, lag, threads)

        def forget_users() -> None:
            cache.clear()
            user_states.forget()
            known_users.forget()

        serving = ServingStateHolder(
            active=active,
            folders=folders,
            fetcher=SnapshotFetcher(folders, metrics.count_snapshot_fetch),
            register=store.snapshots,
            items=store.items,
            likes=store.likes,
            training_reads=store.training_reads,
            trends=store.trends,
            jobs=store.jobs,
            instance=store.instance,
            generation=store.generation,
            known_users=known_users,
            tokens=tokens,
            lag=lag,
            count_failure=metrics.count_poll_failure,
            forget_users=forget_users,
        )
        config = PlacementConfigHolder(store.placements, store.events)
        config.refresh(serving.current.generation)  # known even if the database fails before the first request
        request_states = RequestStates(
            store.reads, serving, config, known_users, store.instance.scale(), metrics.count_degraded
        )
        watch = PlacementWatch(metrics.count_placement_problem)
        recommender = Recommender(user_states, tokens, watch, threads, shown_items)
        # What operators look at is shown to nobody else.
        unseen = Recommender(user_states, tokens, PlacementWatch(lambda _name, _problem: None), threads, None)
        return cls(
            store=store,
            replica=replica,
            threads=threads,
            serving=serving,
            config=config,
            placement_editor=PlacementEditor(store.placements, serving),
            request_states=request_states,
            user_states=user_states,
            recommender=recommender,
            unseen_recommender=unseen,
            exclusion=ExclusionExplainer(recommender),
            rankings=CandidateRanker(recommender),
            searcher=Searcher(recommender),
            predictor=RatingPredictor(user_states, request_states),
            home_page=HomePage(recommender),
            mixer=Mixer(recommender),
            similar_items=SimilarItemFinder(recommender, tokens, store.items),
            similar_users=SimilarUserFinder(user_states, store.users),
            charts=ChartReader(store.trends, tokens),
            rating_recorder=RatingRecorder(store),
            event_recorder=EventRecorder(store, tokens),
            cache=cache,
            tokens=tokens,
            metrics=metrics,
            erased_within=timedelta(hours=settings.erasure_hours),
            published=PublishedSnapshots(store, folders, downloads),
            downloads=downloads,
            data_quality=RememberedDataQuality(),
        )

    def follow_databases(self) -> None:
        """Notice from now on when they do not answer, and when they do so again."""
        self.store.availability.follow()
        if self.replica is not None:
            self.replica.database.availability.follow()

    def look(self) -> None:
        """Look for another snapshot, and add up what was stored: what an open tenant needs from time to time."""
        self.serving.look()
        self._add_arrivals(every_seconds=FLUSH_SECONDS)

    def _add_arrivals(self, *, every_seconds: float = 0.0) -> None:
        try:
            self.store.arrivals.flush(every_seconds=every_seconds)
        except ReckonError as error:  # a later call adds them
            log.debug("arrivals not added", why=error.detail)
        except Exception:
            # As of a tenant whose database is gone. The service must be able to close.
            log.exception("arrivals not added")

    def close(self) -> None:
        """Close the database. The threads stay, because others may use them."""
        self.serving.stop()
        self._add_arrivals()
        self.store.close()
        if self.replica is not None:
            self.replica.close()
        self.serving.release()


def _erasure_state(store: Store) -> ErasureState | None:
    """Return how many erasures are pending and how many overdue; None while the database does not tell."""
    try:
        return ErasureState(*store.erasures.count_open())
    except ReckonError:
        return None


def _snapshot_state(active: ActiveSnapshot) -> SnapshotState | None:
    """Return the state of the snapshot that is served; None without one."""
    snapshot = active.current
    if snapshot is None:
        return None
    manifest = snapshot.manifest
    created_at = datetime.fromisoformat(manifest.created_at).timestamp()
    return SnapshotState(
        manifest.version,
        created_at,
        is_fallback=manifest.reason is not None,
        is_substitute=active.is_substitute,
        is_accepted=manifest.accepted is not None,
        n_quarantined=manifest.n_quarantined,
        n_capped=manifest.n_capped,
    )


def _training_state(store: Store) -> TrainingState | None:
    """Return the state of training; None while the database does not tell."""
    try:
        jobs, live = store.jobs.summary(), store.snapshots.live()
    except ReckonError:
        return None
    running, last = jobs.running, jobs.last
    return TrainingState(
        n_finished=jobs.n_finished,
        n_queued=jobs.n_queued,
        waiting_since=_timestamp(jobs.queued_since),
        running_since=None if running is None else _timestamp(running.started_at),
        # The stage is a text; the name before the colon is one of a few.
        phase="" if running is None else (running.stage or "starting").partition(":")[0],
        progress=None if running is None else running.progress,
        lease_until=_timestamp(jobs.running_until),
        last_seconds=_seconds_of(last),
        phase_seconds={} if live is None else live.card.get("phase_seconds", {}),
    )


def _seconds_of(job: Job | None) -> float | None:
    # A job that was withdrawn never started.
    if job is None or job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()


def _timestamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _catalogue_state(catalogue: Catalogue, shown_items: ShownItems) -> CatalogueState:
    is_available = catalogue.available(time.time_ns() // 1_000)
    # The catalogue may have grown since.
    keys = catalogue.keys[: len(is_available)][is_available]
    return CatalogueState(len(keys), shown_items.counted(keys))


def _disk_state(folder: Path) -> DiskState | None:
    """Return the state of the disk of the folder; None while there is no such folder."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return DiskState(usage.total, usage.free)
