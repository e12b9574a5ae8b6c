"""What the service does and holds, for operators: processes, arrivals, imports."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from ..call import Request, operation


@dataclass(frozen=True, slots=True)
class ConsumedPartition:
    """`lag`: messages that are not stored yet."""

    topic: str
    partition: int
    lag: int


@dataclass(frozen=True, slots=True)
class Consumer:
    """What a consumer of Kafka does.

    `messages`: dealt with since its start; `dead_letters`: written since then. `lag`: of all its `partitions`.
    `waits_for`: why it stores nothing now; None while it does.
    """

    messages: int
    dead_letters: int
    lag: int
    partitions: tuple[ConsumedPartition, ...]
    waits_for: str | None


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a process has last said of itself.

    `name`: `api 1`, `worker`, `consumer`. `beat_at`: when it said so; every process does every 10 seconds. `is_alive`:
    whether that was in the last 35 seconds. `version`: of Reckon. `snapshot_version`: of what it serves; None for a
    worker. `consumer`: None for all others.
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
    consumer: Consumer | None = None


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


@dataclass(frozen=True, slots=True)
class ImportCounts:
    """Numbers of rows of one kind; each readable one was stored, replaced something or changed nothing.

    `repeated`: those that repeat the user and the item of an earlier row; None where it is not known.
    """

    readable: int
    stored: int
    replaced: int
    unchanged: int
    rejected: int
    repeated: int | None = None


@dataclass(frozen=True, slots=True)
class Import:
    """An import of a file by `reckon import`.

    `file`: the name, without where it is. `counts`: by kind of rows. `n_rejected`: rejected rows; `n_kept`: those of
    them that `rejected_import_rows` answers. `reason`: why it failed. `progress`: the share of the work that is done,
    from 0 to 1; None if it is not known.
    """

    import_id: str
    file: str
    state: Literal["running", "succeeded", "failed", "interrupted"]
    started_at: datetime
    finished_at: datetime | None
    counts: Mapping[str, ImportCounts]
    n_rejected: int
    n_kept: int
    reason: str | None
    progress: float | None = None


@dataclass(frozen=True, slots=True)
class Imports:
    """Newest first."""

    imports: tuple[Import, ...]

    def __iter__(self) -> Iterator[Import]:
        return iter(self.imports)


@dataclass(frozen=True, slots=True)
class RejectedImportRow:
    """`line`: where the row begins in the file, from 1; 0 for a sum of several rows.

    `field`: the field at fault, None if it is not a single one. `row`: a line of CSV.
    """

    number: int
    file: str
    line: int
    field: str | None
    reason: str
    row: str


@dataclass(frozen=True, slots=True)
class RejectedImportRows:
    """In the order of rejection."""

    import_id: str
    rejected_rows: tuple[RejectedImportRow, ...]

    def __iter__(self) -> Iterator[RejectedImportRow]:
        return iter(self.rejected_rows)


class MonitoringOperations:
    @operation("GET", "/processes")
    def processes(self) -> Request[Processes]:
        """The processes of the service, and what they did in the last hour. Needs a key of the main catalogue."""
        return Request(Processes)

    @operation("GET", "/arrivals")
    def arrivals(self, *, hours: int | None = None) -> Request[Arrivals]:
        """How much is stored, and what was stored newly in each of the last hours, by default of a week."""
        return Request(Arrivals, query={"hours": hours})

    @operation("GET", "/imports")
    def imports(self) -> Request[Imports]:
        """The newest 100 imports of files."""
        return Request(Imports)

    # As JSON: the CSV is for spreadsheets.
    @operation("GET", "/imports/{import_id}/rejected-rows")
    def rejected_import_rows(self, import_id: str) -> Request[RejectedImportRows]:
        """The rejected rows that are kept of an import. Raises `NotFoundError` where there is no such import."""
        return Request(RejectedImportRows, path={"import_id": import_id})
