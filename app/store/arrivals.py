"""How much is stored, and how much arrived in each hour, without counting rows.

A row that every write increments would make all writers wait for one another. So a write notes its numbers in the
memory of its process when it is committed (`Database.note`), and the process adds up what was noted every ten seconds.
A crash loses what was not added yet. Totals are counted anew whenever training has read all data, which mends that.
What was noted before a count and is added after it is left out, so that only what is committed in the very moment of
the count may be counted twice.

`arrivals` counts what is new, in the hour in which it is added. `totals` counts what is there: deletions lower them.
"""

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

import sqlalchemy as sa

from app.entities import from_microseconds
from app.errors import ReckonError
from app.store.counts import count_all
from app.store.database import Database
from app.store.dialect import Upsert
from app.store.noted import Kind
from app.store.schema import arrivals, totals

KINDS: Sequence[Kind] = get_args(Kind)
HOUR = 3_600_000_000
"""Microseconds."""

KEPT = timedelta(days=35)
MOST_HOURS = KEPT // timedelta(hours=1)
FLUSH_SECONDS = 10.0

ADD_ARRIVALS = Upsert(
    "arrivals",
    (("hour", "bigint"), ("kind", "text"), ("n", "bigint")),
    key=("hour", "kind"),
    merged=(("n", "arrivals.n + excluded.n"),),
)
SET_TOTALS = Upsert(
    "totals",
    (("kind", "text"), ("n", "bigint"), ("counted_at", "bigint")),
    key=("kind",),
    merged=(("n", "excluded.n"), ("counted_at", "excluded.counted_at")),
)


@dataclass(frozen=True, slots=True)
class Total:
    """How many there are: an exact count as of `counted_at`, and what came and went since."""

    n: int
    counted_at: datetime


@dataclass(frozen=True, slots=True)
class HourOfArrivals:
    """What was stored newly in the hour that begins at `hour`."""

    hour: datetime
    ratings: int = 0
    events: int = 0
    users: int = 0
    items: int = 0


class Arrivals:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._flushing = threading.Lock()
        self._flushed_at = time.monotonic()

    def flush(self, *, every_seconds: float = 0.0) -> None:
        """Adds what was noted to arrivals and totals; without anything noted, writes nothing.

        `every_seconds`: does nothing if the last call that did something was less than this ago. Raises `ReckonError`
        if the database does not take it; it is then added by a later call.
        """
        with self._flushing:
            if time.monotonic() - self._flushed_at < every_seconds:
                return
            self._flushed_at = time.monotonic()
            if not (taken := self._database.noted.take()):
                return
            try:
                self._add(taken)
            except BaseException:
                self._database.noted.put_back(taken)
                raise

    def _add(self, taken: Mapping[tuple[int, Kind], tuple[int, int]]) -> None:
        stored: Counter[Kind] = Counter()
        for (_, kind), (n_stored, _) in taken.items():
            stored[kind] += n_stored
        with self._database.writing() as connection:
            now = self._database.dialect.now(connection)
            # In one order, so that processes cannot deadlock.
            rows = [(now - now % HOUR, kind, stored[kind]) for kind in sorted(stored) if stored[kind]]
            if rows:
                self._database.dialect.upsert(connection, ADD_ARRIVALS, list(zip(*rows, strict=True)))
            counted = sa.select(totals.c.kind, totals.c.counted_at).order_by(totals.c.kind).with_for_update()
            for kind, counted_at in connection.execute(counted).all():
                # What was noted before the count is in the count.
                since = [change for (at, of), change in taken.items() if of == kind and at >= counted_at]
                grown = sum(n_stored - n_removed for n_stored, n_removed in since)
                if grown:
                    is_kind = totals.c.kind == kind
                    connection.execute(sa.update(totals).where(is_kind).values(n=totals.c.n + grown))

    def keep_totals(self, counts: Mapping[Kind, int], counted_at: int) -> None:
        """Replaces the totals by exact counts as of `counted_at`, microseconds UTC, unless a later one is stored."""
        with self._database.writing() as connection:
            newest = connection.execute(sa.select(sa.func.max(totals.c.counted_at))).scalar_one()
            if newest is None or newest < counted_at:
                rows = [(kind, counts[kind], counted_at) for kind in sorted(KINDS)]
                self._database.dialect.upsert(connection, SET_TOTALS, list(zip(*rows, strict=True)))

    def totals(self) -> Mapping[Kind, Total]:
        """Counts all rows, and keeps the counts, if that was never done or a restore has put other data in place."""
        if not (known := self._known_totals()):
            with self._database.reading() as connection:
                counted_at = self._database.dialect.now(connection)
                counts = count_all(connection)
            known = {kind: Total(getattr(counts, kind), from_microseconds(counted_at)) for kind in KINDS}
            with suppress(ReckonError):  # the counts are true nevertheless
                self.keep_totals({kind: each.n for kind, each in known.items()}, counted_at)
        return known

    def _known_totals(self) -> dict[Kind, Total]:
        with self._database.reading() as connection:
            rows = {row.kind: row for row in connection.execute(sa.select(totals))}
        if rows.keys() != set(KINDS):
            return {}
        # A crash between a deletion and its note could lead below zero.
        return {kind: Total(max(0, rows[kind].n), from_microseconds(rows[kind].counted_at)) for kind in KINDS}

    def by_hour(self, n_hours: int) -> list[HourOfArrivals]:
        """The last `n_hours` hours, the current one included, oldest first."""
        with self._database.reading() as connection:
            now = self._database.dialect.now(connection)
            hours = range(now - now % HOUR - (n_hours - 1) * HOUR, now + 1, HOUR)
            recent = sa.select(arrivals).where(arrivals.c.hour >= hours[0])
            counts: dict[int, dict[str, int]] = {hour: {} for hour in hours}
            for row in connection.execute(recent):
                if row.hour in counts:
                    counts[row.hour][row.kind] = row.n
        return [HourOfArrivals(from_microseconds(hour), **of_hour) for hour, of_hour in counts.items()]

    def purge(self, *, now: int) -> int:
        """Removes the arrivals of hours that are no longer kept; returns how many rows."""
        with self._database.writing(uses_reserve=True) as connection:
            before = now - KEPT // timedelta(microseconds=1)
            return connection.execute(sa.delete(arrivals).where(arrivals.c.hour < before)).rowcount
