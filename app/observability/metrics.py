"""The metrics, in the Prometheus text format.

With several API processes they share counters through files (`PROMETHEUS_MULTIPROC_DIR`, set by `reckon serve`), so
that whichever process answers `/metrics` answers for all.
"""

import os
import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

LAG_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3_600.0)
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

SnapshotState = tuple[int, float]
"""Version and creation time (seconds since 1970) of the snapshot served."""


class Metrics:
    def __init__(self, snapshot_state: Callable[[], SnapshotState | None]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "reckon_requests", "Requests answered", ["method", "path", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "reckon_request_seconds",
            "Time to answer",
            ["method", "path"],
            buckets=LATENCY_BUCKETS,
            registry=self._registry,
        )
        self._of_operations: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._strategies = Counter(
            "reckon_recommendations",
            "Recommendation lists answered, by strategy",
            ["strategy"],
            registry=self._registry,
        )
        self._of_strategies: dict[str, Counter] = {}
        self._ratings = Counter("reckon_ratings", "Ratings received, by outcome", ["status"], registry=self._registry)
        self._lag = Histogram(
            "reckon_write_to_effect_seconds",
            "From a write to the first answer of a process that knows it, the wait for being asked included",
            ["kind"],
            buckets=LAG_BUCKETS,
            registry=self._registry,
        )
        self._events = Counter(
            "reckon_events",
            "Events received, by declared type and outcome",
            ["type", "status"],
            registry=self._registry,
        )
        self._poll_failures = Counter(
            "reckon_snapshot_poll_failures",
            "Looks for another live snapshot that failed: those that the log explains",
            registry=self._registry,
        )
        self._snapshot = _SnapshotCollector(snapshot_state)

    def count_request(self, method: str, path: str, status: int, seconds: float) -> None:
        key = method, path, status
        if key not in self._of_operations:  # as many as there are operations and statuses: looking one up costs 5 us
            self._of_operations[key] = (
                self._requests.labels(method, path, str(status)),
                self._seconds.labels(method, path),
            )
        count, duration = self._of_operations[key]
        count.inc()
        duration.observe(seconds)

    def count_recommendations(self, strategy: str) -> None:
        if strategy not in self._of_strategies:
            self._of_strategies[strategy] = self._strategies.labels(strategy)
        self._of_strategies[strategy].inc()

    def count_ratings(self, status: str, number: int = 1) -> None:
        if number:
            self._ratings.labels(status).inc(number)

    def observe_lag(self, kind: str, seconds: float) -> None:
        """`kind`: ratings, events or snapshot."""
        self._lag.labels(kind).observe(seconds)

    def count_events(self, type_: str, status: str, number: int = 1) -> None:
        """`type_`: a declared one, of which there are few; empty for events that were rejected."""
        if number:
            self._events.labels(type_, status).inc(number)

    def count_poll_failure(self) -> None:
        self._poll_failures.inc()

    def render(self) -> bytes:
        """Everything, of all processes, as text."""
        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library's own
        snapshot = CollectorRegistry()
        snapshot.register(self._snapshot)
        return generate_latest(registry) + generate_latest(snapshot)


class _SnapshotCollector:
    """Read when asked for: an age that is only stored when something happens stands still when nothing does."""

    def __init__(self, snapshot_state: Callable[[], SnapshotState | None]) -> None:
        self._snapshot_state = snapshot_state

    def collect(self) -> Iterable[Metric]:
        state = self._snapshot_state()
        if state is not None:
            version, created_at = state
            yield GaugeMetricFamily("reckon_snapshot_version", "Version of the snapshot served", version)
            yield GaugeMetricFamily(
                "reckon_snapshot_age_seconds", "Age of the snapshot served", time.time() - created_at
            )
