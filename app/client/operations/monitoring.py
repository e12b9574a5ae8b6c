"""What the service does and holds, for operators: processes and arrivals."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from ..call import Request, operation


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a process has last said of itself.

    `name`: `api 1`, `worker`. `beat_at`: when it said so; every process does every 10 seconds. `is_alive`: whether that
    was in the last 35 seconds. `version`: of Reckon. `snapshot_version`: of what it serves; None for a worker.
    """

    process_id: str
    name: str
    host: str
    pid: int
    started_at: datetime
    beat_at: datetime
    is_alive: bool
    version: str
    snapshot_version: int | None


@dataclass(frozen=True, slots=True)
class ActivityMinute:
    """What all processes did in the minute that begins at `minute`; `lists`: recommendation lists by strategy."""

    minute: datetime
    lists: Mapping[str, int]
    requests: int
    server_errors: int
    refused: int
    ratings: int
    events: int
    p50_seconds: float | None
    p99_seconds: float | None


@dataclass(frozen=True, slots=True)
class Activity:
    """What all processes did in the last hour.

    `requests`: answered, those included that were `refused` because of overload or a rate limit. `ratings`, `events`:
    stored ones. `p50_seconds`, `p99_seconds`: within which half, and 99 %, of the answers were given; None without any.
    `strategies`: the share of each in the recommendation lists. `minutes`: oldest first.
    """

    strategies: Mapping[str, float]
    minutes: tuple[ActivityMinute, ...]
    requests: int
    server_errors: int
    refused: int
    ratings: int
    events: int
    p50_seconds: float | None
    p99_seconds: float | None


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that beat in the last hour, by name."""

    processes: tuple[Heartbeat, ...]
    activity: Activity

    def __iter__(self) -> Iterator[Heartbeat]:
        return iter(self.processes)


@dataclass(frozen=True, slots=True)
class Total:
    """How many there are: all were counted at `counted_at`, and what came and went since is added."""

    n: int
    counted_at: datetime


@dataclass(frozen=True, slots=True)
class Totals:
    """`items`: bare ones included."""

    ratings: Total
    events: Total
    users: Total
    items: Total


@dataclass(frozen=True, slots=True)
class HourOfArrivals:
    """What was stored newly in the hour that begins at `hour`."""

    hour: datetime
    ratings: int
    events: int
    users: int
    items: int


@dataclass(frozen=True, slots=True)
class Arrivals:
    """`hours`: oldest first; the last one is the current hour."""

    totals: Totals
    hours: tuple[HourOfArrivals, ...]

    def __iter__(self) -> Iterator[HourOfArrivals]:
        return iter(self.hours)


class MonitoringOperations:
    @operation("GET", "/processes")
    def processes(self) -> Request[Processes]:
        """The processes of the service, and what they did in the last hour. Needs a key of the main catalogue."""
        return Request(Processes)

    @operation("GET", "/arrivals")
    def arrivals(self, *, hours: int | None = None) -> Request[Arrivals]:
        """How much is stored, and what was stored newly in each of the last hours, by default of a week."""
        return Request(Arrivals, query={"hours": hours})
