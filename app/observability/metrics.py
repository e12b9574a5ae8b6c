"""The metrics, in the Prometheus text format.

Several API processes share counters through files (`PROMETHEUS_MULTIPROC_DIR`, set by `reckon serve`), so that
`/metrics` of any process covers all of them.
"""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

LAG_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3_600.0)
# From a cached answer, about 1 ms, to the slowest that a client is likely to wait for.
LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# No request is to hold the loop for more than 20 ms.
LOOP_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)

MAX_LAG_SECONDS = 3_600.0
"""Older writes did not wait for this service: imports of old ratings, users who were away."""

MAX_REMEMBERED_WRITES = 10_000

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
MAX_NAMES = 100
"""Values of a label that users name: event types, placements. Those that come later are counted as `other`."""


class SnapshotState(NamedTuple):
    """The snapshot that is served. `created_at`: seconds since 1970. `is_fallback`: it holds popular items alone.

    `is_substitute`: it serves in place of the live one, which cannot be opened.
    """

    version: int
    created_at: float
    is_fallback: bool
    is_substitute: bool


class Metrics:
    """All metrics of one process.

    `snapshot_state`, and `count_erasures`, which returns how many are pending and how many of them are overdue, are
    called whenever the metrics are rendered.
    """

    def __init__(
        self,
        snapshot_state: Callable[[], SnapshotState | None],
        count_erasures: Callable[[], tuple[int, int] | None] = lambda: None,
    ) -> None:
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
        self._by_operation: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._strategies = Counter(
            "reckon_recommendations",
            "Recommendation lists answered, by strategy",
            ["strategy"],
            registry=self._registry,
        )
        self._by_strategy: dict[str, Counter] = {}
        self._event_types, self._placements = _Names(), _Names()
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
        self._placement_problems = Counter(
            "reckon_placement_problems",
            "Lists made under a placement that names an attribute or category of no item (unknown_name), or whose"
            " settings left no item (empty_list); previews included",
            ["placement", "problem"],
            registry=self._registry,
        )
        self._poll_failures = Counter(
            "reckon_snapshot_poll_failures",
            "Looks for another live snapshot that failed: those that the log explains",
            registry=self._registry,
        )
        self._loop_lag = Histogram(
            "reckon_event_loop_lag_seconds",
            "How late the event loop looks at what is due, 20 times a second",
            buckets=LOOP_LAG_BUCKETS,
            registry=self._registry,
        )
        self._snapshot = _SnapshotCollector(snapshot_state)
        self._erasures = _ErasureCollector(count_erasures)

    def count_request(self, method: str, path: str, status: int, seconds: float) -> None:
        """`path`: the template of the path."""
        # Each combination of values is a time series for ever, and a caller may send any method.
        key = method if method in METHODS else OTHER, path, status
        # `labels()` costs 5 us; this dictionary has one entry for each operation and status.
        if key not in self._by_operation:
            self._by_operation[key] = (
                self._requests.labels(*key[:2], str(status)),
                self._seconds.labels(*key[:2]),
            )
        count, duration = self._by_operation[key]
        count.inc()
        duration.observe(seconds)

    def count_recommendations(self, strategy: str) -> None:
        if strategy not in self._by_strategy:
            self._by_strategy[strategy] = self._strategies.labels(strategy)
        self._by_strategy[strategy].inc()

    def count_ratings(self, status: str, number: int = 1) -> None:
        # A label that never counted is not rendered, so zero must not create it.
        if number:
            self._ratings.labels(status).inc(number)

    def observe_lag(self, kind: str, seconds: float) -> None:
        """`kind`: ratings, events or snapshot."""
        self._lag.labels(kind).observe(seconds)

    def count_events(self, type_: str, status: str, number: int = 1) -> None:
        """`type_`: a declared event type; empty for rejected events, whose type may be any text."""
        if number:
            self._events.labels(self._event_types.label(type_), status).inc(number)

    def count_placement_problem(self, placement: str, problem: str) -> None:
        """`problem`: unknown_name or empty_list."""
        self._placement_problems.labels(self._placements.label(placement), problem).inc()

    def count_poll_failure(self) -> None:
        self._poll_failures.inc()

    def observe_loop_lag(self, seconds: float) -> None:
        self._loop_lag.observe(seconds)

    def render(self) -> bytes:
        """All metrics of all processes, as text."""
        registry = self._registry
        # Several processes: the files of all of them, in place of this process's own values.
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library's own
        # By itself: the files that the processes share cannot hold a collector.
        states = CollectorRegistry()
        states.register(self._snapshot)
        states.register(self._erasures)
        return generate_latest(registry) + generate_latest(states)


class _Names:
    """The first `MAX_NAMES` names of a kind. Users may declare and delete names for ever."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def label(self, name: str) -> str:
        if name not in self._known:
            if len(self._known) >= MAX_NAMES:
                return OTHER
            self._known.add(name)
        return name


class _SnapshotCollector:
    """Version, age and kind of the snapshot served, when the metrics are read: a stored age would stand still."""

    def __init__(self, snapshot_state: Callable[[], SnapshotState | None]) -> None:
        self._snapshot_state = snapshot_state

    def collect(self) -> Iterable[Metric]:
        state = self._snapshot_state()
        if state is not None:
            yield GaugeMetricFamily("reckon_snapshot_version", "Version of the snapshot served", state.version)
            yield GaugeMetricFamily(
                "reckon_snapshot_age_seconds", "Age of the snapshot served", max(time.time() - state.created_at, 0)
            )
            yield GaugeMetricFamily(
                "reckon_snapshot_is_fallback",
                "1 if the snapshot served holds popular items alone, because what was learned did not pass; else 0",
                int(state.is_fallback),
            )
            yield GaugeMetricFamily(
                "reckon_snapshot_is_substitute",
                "1 if the snapshot served stands in for the live one, which cannot be opened; else 0",
                int(state.is_substitute),
            )


class _ErasureCollector:
    """How many erasures of users wait when the metrics are read; nothing if the database does not answer."""

    def __init__(self, count_erasures: Callable[[], tuple[int, int] | None]) -> None:
        self._count_erasures = count_erasures

    def collect(self) -> Iterable[Metric]:
        counts = self._count_erasures()
        if counts is not None:
            n_pending, n_overdue = counts
            yield GaugeMetricFamily("reckon_erasures_pending", "Erasures of users that are not completed", n_pending)
            yield GaugeMetricFamily("reckon_erasures_overdue", "Pending erasures whose time is over", n_overdue)


class Lag:
    """Observes each write once, at the first answer of this process that takes it into account."""

    def __init__(self, observe: Callable[[str, float], None]) -> None:
        """`observe` takes the kind of the write and the seconds since it was made, as `Metrics.observe_lag` does."""
        self._observe = observe
        self._observed_writes: OrderedDict[Hashable, None] = OrderedDict()

    def took_effect(self, kind: str, write: Hashable, written_at: int) -> None:
        """`write` identifies the write among those of its kind; `written_at`: microseconds UTC."""
        key = kind, write
        if key in self._observed_writes:
            return
        self._observed_writes[key] = None
        # The oldest is forgotten: memory stays bounded, and a write observed twice only blurs a histogram.
        if len(self._observed_writes) > MAX_REMEMBERED_WRITES:
            self._observed_writes.popitem(last=False)
        seconds = time.time() - written_at / 1e6
        if 0 <= seconds <= MAX_LAG_SECONDS:
            self._observe(kind, seconds)
