"""Metrics whose values are read when they are rendered: states of the service, of its database and of its machine.

A stored value would stand still, and would differ between the processes of a service.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from app.observability.processes import ProcessState


class SnapshotState(NamedTuple):
    """The snapshot that is served. `created_at`: seconds since 1970. `is_fallback`: it holds popular items alone.

    `is_substitute`: it serves in place of the live one, which cannot be opened. `is_accepted`: an operator has
    published it although it did not pass the gate. `n_quarantined`: users whom it was learned without.
    `n_capped`: ratings and labels of events that it was learned without, as they came in a burst.
    """

    version: int
    created_at: float
    is_fallback: bool
    is_substitute: bool
    is_accepted: bool
    n_quarantined: int
    n_capped: int


class ErasureState(NamedTuple):
    """Erasures that are not completed, and those of them whose time is over."""

    n_pending: int
    n_overdue: int


@dataclass(frozen=True, slots=True)
class TrainingState:
    """The jobs, as the database records them. A worker may be another process, on another machine.

    `n_finished`: by outcome. `waiting_since`: of the oldest queued job, seconds since 1970; None without one. The next
    four are of the running job: None, and an empty phase, without one. `lease_until`: when another worker may take it,
    unless its own worker reports before. `last_seconds`: of the newest finished run. `phase_seconds`: of the run that
    made the live snapshot.
    """

    n_finished: Mapping[str, int]
    n_queued: int
    waiting_since: float | None
    running_since: float | None
    phase: str
    progress: float | None
    lease_until: float | None
    last_seconds: float | None
    phase_seconds: Mapping[str, float]


class DiskState(NamedTuple):
    """The disk of the data folder. `free_bytes`: those that the service may use."""

    size_bytes: int
    free_bytes: int


class CatalogueState(NamedTuple):
    """`n_items`: that may be shown now. `n_shown`: that recommendations have shown of late."""

    n_items: int
    n_shown: int


@dataclass(frozen=True, slots=True)
class StateReaders:
    """Functions that return the states. None: unknown now, as while the database does not answer."""

    snapshot: Callable[[], SnapshotState | None]
    erasures: Callable[[], ErasureState | None]
    training: Callable[[], TrainingState | None]
    catalogue: Callable[[], CatalogueState | None]
    disk: Callable[[], DiskState | None]
    processes: Callable[[], Sequence[ProcessState]]
    is_database_up: Callable[[], bool]


class StateCollector:
    """A collector of the library: it is asked whenever the metrics are rendered."""

    def __init__(self, readers: StateReaders) -> None:
        self._readers = readers

    def collect(self) -> Iterable[Metric]:
        readers, now = self._readers, time.time()
        yield _gauge("reckon_database_up", "1 if the database answers; else 0", int(readers.is_database_up()))
        if (snapshot := readers.snapshot()) is not None:
            yield from _of_snapshot(snapshot, now)
        if (catalogue := readers.catalogue()) is not None:
            yield from _of_catalogue(catalogue)
        if (erasures := readers.erasures()) is not None:
            yield _gauge("reckon_erasures_pending", "Erasures of users that are not completed", erasures.n_pending)
            yield _gauge("reckon_erasures_overdue", "Pending erasures whose time is over", erasures.n_overdue)
        if (training := readers.training()) is not None:
            yield from _of_training(training, now)
        if (disk := readers.disk()) is not None:
            yield _gauge("reckon_disk_size_bytes", "Size of the disk of the data folder", disk.size_bytes)
            yield _gauge("reckon_disk_free_bytes", "Room on the disk of the data folder", disk.free_bytes)
        if processes := readers.processes():
            yield from _of_processes(processes)


def _of_snapshot(state: SnapshotState, now: float) -> Iterable[Metric]:
    yield _gauge("reckon_snapshot_version", "Version of the snapshot served", state.version)
    yield _gauge("reckon_snapshot_age_seconds", "Age of the snapshot served", max(now - state.created_at, 0))
    yield _gauge(
        "reckon_snapshot_is_fallback",
        "1 if the snapshot served holds popular items alone, because what was learned did not pass; else 0",
        int(state.is_fallback),
    )
    yield _gauge(
        "reckon_snapshot_is_substitute",
        "1 if the snapshot served stands in for the live one, which cannot be opened; else 0",
        int(state.is_substitute),
    )
    yield _gauge(
        "reckon_snapshot_is_accepted",
        "1 if an operator published the snapshot served although it did not pass the gate; else 0",
        int(state.is_accepted),
    )
    yield _gauge(
        "reckon_quarantined_users",
        "Users whom the snapshot served was learned without, as made to push an item",
        state.n_quarantined,
    )
    yield _gauge(
        "reckon_capped_ratings",
        "Ratings and labels of events that the snapshot served was learned without, as they came in a burst",
        state.n_capped,
    )


def _of_catalogue(state: CatalogueState) -> Iterable[Metric]:
    yield _gauge("reckon_catalogue_items", "Items that may be shown now", state.n_items)
    yield _gauge(
        "reckon_catalogue_shown_items",
        "Items that recommendation lists made in this hour or the 24 before it have shown",
        state.n_shown,
    )


def _of_training(state: TrainingState, now: float) -> Iterable[Metric]:
    finished = CounterMetricFamily(
        "reckon_training_jobs",
        "Finished training jobs, by outcome: passed (the gate, or accepted by an operator), fallback (popular items"
        " were published instead), rejected (by the gate), failed, cancelled",
        labels=["outcome"],
    )
    for outcome, n in state.n_finished.items():
        finished.add_metric([outcome], n)
    yield finished
    yield _gauge("reckon_training_jobs_queued", "Training jobs that wait for a worker", state.n_queued)
    waits = 0.0 if state.waiting_since is None else max(now - state.waiting_since, 0)
    yield _gauge("reckon_training_queue_age_seconds", "Age of the oldest queued training job; 0 without one", waits)
    if state.last_seconds is not None:
        yield _gauge(
            "reckon_training_last_run_seconds", "Duration of the training run that ended last", state.last_seconds
        )
    seconds = GaugeMetricFamily(
        "reckon_training_phase_seconds",
        "Duration of each phase of the training run that made the live snapshot",
        labels=["phase"],
    )
    for phase, duration in state.phase_seconds.items():
        seconds.add_metric([phase], duration)
    yield seconds
    runs = GaugeMetricFamily("reckon_training_running", "1 for the phase of the running training job", labels=["phase"])
    if state.running_since is None:
        yield runs
        return
    runs.add_metric([state.phase], 1)
    yield runs
    yield _gauge(
        "reckon_training_progress_ratio", "Share of the running training job that is done", state.progress or 0
    )
    yield _gauge("reckon_training_run_age_seconds", "Age of the running attempt", max(now - state.running_since, 0))
    yield _gauge(
        "reckon_training_lease_seconds",
        "Time until the running job is taken from its worker; negative while the worker is silent for too long",
        (state.lease_until or now) - now,
    )


def _of_processes(states: Sequence[ProcessState]) -> Iterable[Metric]:
    up = GaugeMetricFamily("reckon_process_up", "1 if the process of `reckon serve` runs; else 0", labels=["process"])
    ended = CounterMetricFamily(
        "reckon_process_ends", "How often the process of `reckon serve` ended and was restarted", labels=["process"]
    )
    for state in states:
        up.add_metric([state.name], int(state.state == "running"))
        ended.add_metric([state.name], state.n_ends)
    yield from (up, ended)


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value)
