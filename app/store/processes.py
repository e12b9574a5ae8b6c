"""The processes of the service: one row for each API process and worker, which it renews every ten seconds.

A process that ends cleanly deletes its row. That of one that was killed stays for an hour, silent, and is deleted by
another process. The rows are in the main database alone: the same processes serve all tenants.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.entities import from_microseconds
from app.store.database import Database
from app.store.schema import processes

ALIVE_WITHIN = timedelta(seconds=35)
"""Three beats may fail before a process counts as silent."""

KEPT_WITHIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ProcessBeat:
    """What a process has last said of itself.

    `name`: `api 1`, `worker`, as `reckon serve` calls it; `api` where something else runs it; `consumer`.
    `started_at`, `beat_at`: by the clock of the database where it has one.
    `version`: of Reckon. `snapshot_version`: of the snapshot that it serves; None without one, and for a worker.
    `activity`: as `Activity.as_json`; empty for a worker; as `ConsumerMetrics.as_json` for a consumer, whose part of it
    `ConsumerState.of` reads.
    `is_alive`: whether the beat is recent.
    """

    process_id: str
    name: str
    host: str
    pid: int
    started_at: datetime
    beat_at: datetime
    version: str
    snapshot_version: int | None
    activity: Mapping[str, Any]
    is_alive: bool


@dataclass(frozen=True, slots=True)
class ProcessBeats:
    """All processes that have beaten within an hour, by name, as of `read_at`, by the same clock as the beats."""

    read_at: datetime
    beats: Sequence[ProcessBeat]


@dataclass(frozen=True, slots=True)
class Identity:
    """What stays the same of a process; see `ProcessBeat`."""

    process_id: str
    name: str
    host: str
    pid: int
    version: str


class Processes:
    def __init__(self, database: Database) -> None:
        self._database = database

    def beat(
        self, identity: Identity, *, age: timedelta, snapshot_version: int | None, activity: Mapping[str, Any]
    ) -> None:
        """Inserts or renews the row of a process that started `age` ago, and deletes those that are long silent."""
        with self._database.writing() as connection:
            now = self._database.dialect.now(connection)
            beat = {"beat_at": now, "snapshot_version": snapshot_version, "activity": dict(activity)}
            is_own = processes.c.process_id == identity.process_id
            # No other process writes this row, so that none can insert it in between.
            if not connection.execute(sa.update(processes).where(is_own).values(**beat)).rowcount:
                same = {name: getattr(identity, name) for name in Identity.__slots__}
                connection.execute(sa.insert(processes).values(**same, started_at=now - _microseconds(age), **beat))
            is_silent = processes.c.beat_at < now - _microseconds(KEPT_WITHIN)
            connection.execute(sa.delete(processes).where(is_silent))

    def end(self, process_id: str) -> None:
        """Deletes the row of a process that ends."""
        with self._database.writing(uses_reserve=True) as connection:
            connection.execute(sa.delete(processes).where(processes.c.process_id == process_id))

    def read(self) -> ProcessBeats:
        with self._database.reading() as connection:
            now = self._database.dialect.now(connection)
            is_kept = processes.c.beat_at >= now - _microseconds(KEPT_WITHIN)
            ordered = sa.select(processes).where(is_kept).order_by(processes.c.name, processes.c.started_at)
            rows = connection.execute(ordered).all()
        alive_from = now - _microseconds(ALIVE_WITHIN)
        return ProcessBeats(from_microseconds(now), [_to_beat(row, alive_from) for row in rows])


def _to_beat(row: Any, alive_from: int) -> ProcessBeat:
    return ProcessBeat(
        process_id=row.process_id,
        name=row.name,
        host=row.host,
        pid=row.pid,
        started_at=from_microseconds(row.started_at),
        beat_at=from_microseconds(row.beat_at),
        version=row.version,
        snapshot_version=row.snapshot_version,
        activity=row.activity,
        is_alive=row.beat_at >= alive_from,
    )


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
