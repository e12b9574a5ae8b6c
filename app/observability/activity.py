"""What a process answered in the last hour, counted by minute, for the pages of operators.

Metrics grow for ever and are read by Prometheus. These counts are small enough to be kept in one row of the database,
so that every process can tell what all of them did, without Prometheus.
"""

import math
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper ends, in seconds. From a cached answer, about 1 ms, to the slowest that a client is likely to wait for."""

LAG_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3_600.0)
"""Upper ends, in seconds, of the time from a write to the first answer that knows it."""

MINUTES_KEPT = 60
MINUTE_SECONDS = 60
SERVER_ERROR, TOO_MANY = 500, 429
OVERLOADED = "refused"
"""The label of a path whose request was refused because of overload."""

NOT_COUNTED = frozenset({"/livez", "/readyz", "/metrics"})
"""Probes ask every second and would be most of the requests of a quiet service."""

WRITTEN = frozenset({"stored", "replaced"})


@dataclass(slots=True)
class Minute:
    """What happened in one minute; also the sum of several.

    `requests`: answered, those that were refused included. `server_errors`: answers of 500 or more, but for refusals.
    `refused`: because of overload or the rate limit of a key. `latency`: numbers of answers, refusals left out, whose
    time is at most that of each of `LATENCY_BUCKETS`, and above that of the bucket before; the last one is of longer
    ones. `lists`: recommendation lists by strategy. `ratings`, `events`: those that changed what is stored.
    `lags`: by the kind of a write, numbers of writes as in `latency`, by the time to the first answer of a process that
    knew them, for `LAG_BUCKETS`.
    """

    requests: int = 0
    server_errors: int = 0
    refused: int = 0
    ratings: int = 0
    events: int = 0
    latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS) + 1))
    lists: Counter[str] = field(default_factory=Counter)
    lags: dict[str, list[int]] = field(default_factory=dict)

    def add(self, other: "Minute") -> None:
        self.requests += other.requests
        self.server_errors += other.server_errors
        self.refused += other.refused
        self.ratings += other.ratings
        self.events += other.events
        self.latency = [one + more for one, more in zip(self.latency, other.latency, strict=True)]
        self.lists.update(other.lists)
        for kind, lag in other.lags.items():
            self.lags[kind] = [one + more for one, more in zip(self.lags.get(kind, NO_LAGS), lag, strict=True)]

    def as_json(self) -> dict[str, Any]:
        """Return the counts without those that are zero."""
        counts = {name: getattr(self, name) for name in COUNTS if getattr(self, name)}
        latency = {"latency": list(self.latency)} if any(self.latency) else {}
        lists = {"lists": dict(self.lists)} if self.lists else {}
        lags = {"lags": {kind: list(lag) for kind, lag in self.lags.items()}} if self.lags else {}
        return counts | latency | lists | lags

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the counts. A histogram with other buckets, as of another version of Reckon, is left out."""
        read = cls(**{name: document.get(name, 0) for name in COUNTS})
        latency = document.get("latency", ())
        if len(latency) == len(read.latency):
            read.latency = list(latency)
        read.lists.update(document.get("lists", {}))
        read.lags = {kind: list(lag) for kind, lag in document.get("lags", {}).items() if len(lag) == len(NO_LAGS)}
        return read

    @property
    def shares(self) -> dict[str, float]:
        """The share of each strategy in the lists, the largest first; empty without lists."""
        total = self.lists.total()
        return {strategy: n / total for strategy, n in self.lists.most_common()}

    def latency_seconds(self, share: float) -> float | None:
        """Return an estimate of the time within which this `share` of the requests was answered; None without any.

        Infinity for a time above that of the last bucket.
        """
        return seconds_within(share, self.latency, LATENCY_BUCKETS)

    def lag_seconds(self, kind: str, share: float) -> float | None:
        """As `latency_seconds`, of the time from a write of this kind to an answer that knows it."""
        return seconds_within(share, self.lags.get(kind, NO_LAGS), LAG_BUCKETS)


NO_LAGS = (0,) * (len(LAG_BUCKETS) + 1)


def seconds_within(share: float, counts: Sequence[int], buckets: Sequence[float]) -> float | None:
    """An estimate of the time within which this share of what is counted ended; None where nothing is counted.

    `counts`: (n + 1,) for each of the n buckets, and above the last one. Within a bucket, times are taken as evenly
    spread. Infinity for a time above the last one, which is not known.
    """
    total = sum(counts)
    if not total:
        return None
    wanted, below = share * total, 0
    for n, start, end in zip(counts, (0.0, *buckets), buckets, strict=False):
        if n and below + n >= wanted:
            return start + (end - start) * (wanted - below) / n
        below += n
    return math.inf


COUNTS = ("requests", "server_errors", "refused", "ratings", "events")


class Activity:
    """Counts what one process does. All methods may be called by any thread.

    `clock`: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        # A lock costs 0.1 us, and without one the increments of several threads would get lost.
        self._counting = threading.Lock()
        self._minutes: dict[int, Minute] = {}

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """`path`: the template of the path, or `refused`."""
        if path in NOT_COUNTED:
            return
        is_refused = path == OVERLOADED or status == TOO_MANY
        with self._counting:
            minute = self._now()
            minute.requests += 1
            if is_refused:
                minute.refused += 1
                return
            if status >= SERVER_ERROR:
                minute.server_errors += 1
            minute.latency[bisect_left(LATENCY_BUCKETS, seconds)] += 1

    def count_list(self, strategy: str) -> None:
        with self._counting:
            self._now().lists[strategy] += 1

    def count_ratings(self, status: str, number: int) -> None:
        """`status`: what became of them; those that changed nothing are not counted."""
        if status in WRITTEN:
            with self._counting:
                self._now().ratings += number

    def count_events(self, status: str, number: int) -> None:
        """As `count_ratings`."""
        if status in WRITTEN:
            with self._counting:
                self._now().events += number

    def count_lag(self, kind: str, seconds: float) -> None:
        """`kind`: of the write that took effect, this long after it was made."""
        with self._counting:
            self._now().lags.setdefault(kind, list(NO_LAGS))[bisect_left(LAG_BUCKETS, seconds)] += 1

    def _now(self) -> Minute:
        number = int(self._clock() // MINUTE_SECONDS)
        minute = self._minutes.get(number)
        if minute is None:
            minute = self._minutes[number] = Minute()
            for old in [each for each in self._minutes if each <= number - MINUTES_KEPT]:
                del self._minutes[old]
        return minute

    def as_json(self) -> dict[str, Any]:
        """Return the last hour: the counts of each minute in which anything happened, by minutes since 1970."""
        oldest = int(self._clock() // MINUTE_SECONDS) - MINUTES_KEPT
        with self._counting:
            return {str(number): each.as_json() for number, each in self._minutes.items() if number > oldest}


@dataclass(frozen=True, slots=True)
class LastHour:
    """What several processes did. `minutes`: 60 of them with the times at which they begin, oldest first."""

    minutes: Sequence[tuple[datetime, Minute]]
    total: Minute


def last_hour(documents: Iterable[Mapping[str, Any]], now: datetime) -> LastHour:
    """Add up what processes did, each as `Activity.as_json`, in the hour before the end of this minute."""
    current = int(now.timestamp() // MINUTE_SECONDS)
    minutes = {number: Minute() for number in range(current - MINUTES_KEPT + 1, current + 1)}
    total = Minute()
    for document in documents:
        for number, counts in document.items():
            if not number.isdigit():  # what a consumer says besides, see `consumption.py`
                continue
            # Other minutes are old, or ahead by the clock of another host.
            if (minute := minutes.get(int(number))) is not None:
                read = Minute.from_json(counts)
                minute.add(read)
                total.add(read)
    times = (datetime.fromtimestamp(number * MINUTE_SECONDS, UTC) for number in minutes)
    return LastHour(list(zip(times, minutes.values(), strict=True)), total)
