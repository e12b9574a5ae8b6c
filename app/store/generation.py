"""The generation of a database: a random text, renewed when the database is put back to an earlier state.

What a process remembers is compared by versions and surrogate keys, which repeat after a restore: another user may have
the key and the version of one that is gone. So each process remembers the generation as well, and drops everything else
when it changes. `reckon restore` renews it; `Generation.check` renews it where the database was put back by other
means.
"""

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
import structlog

from app.store.database import Database
from app.store.schema import counters, instance, training_jobs

log = structlog.get_logger()


def renew_generation(connection: sa.Connection, remembered: str | None = None) -> None:
    """Write a new generation, and end the claims of workers.

    `remembered`: the generation that a process knows. If another one is stored, another process has renewed it already,
    and nothing is changed.
    """
    stored = connection.execute(sa.select(instance.c.generation).with_for_update()).scalar_one()
    if remembered not in {None, stored}:
        return
    connection.execute(sa.update(instance).values(generation=secrets.token_hex(8)))
    # A run must not publish what it learned from data that are gone: without its token, the lease of a worker is lost.
    is_running = training_jobs.c.state == "running"
    unclaimed = {"state": "queued", "fencing_token": None, "stage": None, "progress": 0.0}
    connection.execute(sa.update(training_jobs).where(is_running).values(**unclaimed))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a process has seen last. `counters`: all of them by name; none ever falls."""

    generation: str
    counters: Mapping[str, int]

    def is_ahead_of(self, now: "Seen") -> bool:
        return any(now.counters.get(name, 0) < value for name, value in self.counters.items())


class Generation:
    """Watches one database for a restore, on behalf of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._checking = threading.Lock()
        self._seen = self._read()
        self.check()

    @property
    def n_erased(self) -> int:
        """The counter of the changes that left with deleted users, as of the last `check`."""
        return self._seen.counters.get("erased", 0)

    def check(self) -> str:
        """Return the current generation, renewed if the database was replaced or a counter fell since the last call.

        Blocks. Opens the database again if its file was replaced; raises `UnavailableError` if that is not possible
        yet.
        """
        with self._checking:
            known = self._seen.generation
            is_replaced = self._database.reopen_replaced(lambda connection: renew_generation(connection, known))
            now = self._read()
            # Another process may have renewed it: then the lower counters are those of the new generation.
            if now.generation == known and self._seen.is_ahead_of(now):
                with self._database.writing(uses_reserve=True) as connection:
                    renew_generation(connection, known)
                now = self._read()
            if now.generation != known:
                log.warning("database was restored", generation=now.generation, is_replaced=is_replaced)
            self._seen = now
            return now.generation

    @property
    def n_erasures(self) -> int:
        """The erasures of users that were known at the last check."""
        return self._seen.counters["erasures"]

    def _read(self) -> Seen:
        with self._database.reading() as connection:
            generation = connection.execute(sa.select(instance.c.generation)).scalar_one()
            rows = connection.execute(sa.select(counters.c.name, counters.c.value))
            return Seen(generation, {row.name: row.value for row in rows})
