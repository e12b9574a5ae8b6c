"""The metrics, in the Prometheus text format.

Several API processes share counters through files (`PROMETHEUS_MULTIPROC_DIR`, set by `reckon serve`), so that
`/metrics` of any process covers all of them.
"""

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from app.observability.activity import LAG_BUCKETS, LATENCY_BUCKETS, Activity
from app.observability.states import StateCollector, StateReaders

# No request is to hold the loop for more than 20 ms.
LOOP_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)

ALERTED = ("internal-error", "overloaded", "unauthorized")
"""Errors that are counted from zero. A counter that first appears as 1 has no increase that an alert could see."""

MAX_LAG_SECONDS = 3_600.0
"""Older writes did not wait for this service: imports of old ratings, users who were away."""

MAX_REMEMBERED_WRITES = 10_000

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable, of the library, with the folder in which several API processes share their metrics."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
MAX_NAMES = 100
"""Values of a label that users name: event types, placements. Those that come later are counted as `other`."""


class Metrics:
    """All metrics of one process, and the states of the service, which `states` reads when they are rendered.

    `activity`: what the process did in the last hour, by minute.
    """

    def __init__(self, states: StateReaders) -> None:
        self.activity = Activity()
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
        self._tenant_requests = Counter(
            "reckon_tenant_requests",
            "Requests answered with the key of a tenant; `reckon_requests_total` counts them, too",
            ["tenant", "status"],
            registry=self._registry,
        )
        self._tenants = _Names()
        self._strategies = Counter(
            "reckon_recommendations",
            "Recommendation lists answered, by strategy, and by whether the user is stored (known) or not (unknown:"
            " guests, new users)",
            ["strategy", "user"],
            registry=self._registry,
        )
        self._by_strategy: dict[tuple[str, bool], Counter] = {}
        self._problems = Counter(
            "reckon_problems",
            "Requests answered with an error, by the name that ends its `type`",
            ["type"],
            registry=self._registry,
        )
        for name in ALERTED:
            self._problems.labels(name)
        self._peers = Counter(
            "reckon_peers_refused",
            "Connections closed because of what their peer did, or for lack of room, by the error; reset: the peer did"
            " not read its answer",
            ["reason"],
            registry=self._registry,
        )
        self._degraded = Counter(
            "reckon_degraded_requests",
            "Users whose list was made from what is remembered, because the database did not answer",
            registry=self._registry,
        )
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
        self._fetches = Counter(
            "reckon_snapshot_fetches",
            "Downloads of snapshots from object storage, by outcome: fetched; failed (it did not answer, or refused);"
            " damaged (what it has is not what was published)",
            ["outcome"],
            registry=self._registry,
        )
        self._loop_lag = Histogram(
            "reckon_event_loop_lag_seconds",
            "How late the event loop looks at what is due, 20 times a second",
            buckets=LOOP_LAG_BUCKETS,
            registry=self._registry,
        )
        self._states = StateCollector(states)

    def without_names(self) -> "Metrics":
        """Return the same metrics for a tenant: its names of event types and placements are counted as `other`."""
        return _Nameless(self)

    def count_tenant_request(self, tenant: str, status: int) -> None:
        self._tenant_requests.labels(self._tenants.label(tenant), str(status)).inc()

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
        self.activity.count_request(path, status, seconds)

    def count_recommendations(self, strategy: str, *, is_known: bool) -> None:
        """`is_known`: whether the user is stored."""
        key = strategy, is_known
        if key not in self._by_strategy:
            self._by_strategy[key] = self._strategies.labels(strategy, "known" if is_known else "unknown")
        self._by_strategy[key].inc()
        self.activity.count_list(strategy)

    def count_problem(self, name: str) -> None:
        """`name`: the end of the `type` of a problem document."""
        self._problems.labels(name).inc()

    def count_refused_peer(self, reason: str) -> None:
        """`reason`: the name of a problem, or `reset`."""
        self._peers.labels(reason).inc()

    def count_degraded(self) -> None:
        self._degraded.inc()

    def count_ratings(self, status: str, number: int = 1) -> None:
        # A label that never counted is not rendered, so zero must not create it.
        if number:
            self._ratings.labels(status).inc(number)
            self.activity.count_ratings(status, number)

    def observe_lag(self, kind: str, seconds: float) -> None:
        """`kind`: ratings, events or snapshot."""
        self._lag.labels(kind).observe(seconds)
        self.activity.count_lag(kind, seconds)

    def count_events(self, type_: str, status: str, number: int = 1) -> None:
        """`type_`: a declared event type; empty for rejected events, whose type may be any text."""
        if number:
            self._events.labels(self._event_types.label(type_), status).inc(number)
            self.activity.count_events(status, number)

    def count_placement_problem(self, placement: str, problem: str) -> None:
        """`problem`: unknown_name or empty_list."""
        self._placement_problems.labels(self._placements.label(placement), problem).inc()

    def count_poll_failure(self) -> None:
        self._poll_failures.inc()

    def count_snapshot_fetch(self, outcome: str) -> None:
        """`outcome`: fetched, failed or damaged."""
        self._fetches.labels(outcome).inc()

    def observe_loop_lag(self, seconds: float) -> None:
        self._loop_lag.observe(seconds)

    def render(self) -> bytes:
        """All metrics of all processes, as text."""
        registry = self._registry
        # Several processes: the files of all of them, in place of this process's own values.
        if SHARED_FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library's own
        # By itself: the files that the processes share cannot hold a collector.
        states = CollectorRegistry()
        states.register(self._states)
        return generate_latest(registry) + generate_latest(states)


class _Nameless(Metrics):
    """Counts with the counters of another one, and all names as `other`."""

    def __init__(self, shared: Metrics) -> None:
        self.__dict__.update(shared.__dict__)
        self._event_types, self._placements = _Names(0), _Names(0)


class _Names:
    """The first names of a kind. Users may declare and delete names for ever."""

    def __init__(self, most: int = MAX_NAMES) -> None:
        self._most = most
        self._known: set[str] = set()

    def label(self, name: str) -> str:
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name


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
