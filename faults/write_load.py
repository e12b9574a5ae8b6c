"""Writers that remember what was acknowledged, for faults after which every acknowledged write must still be there."""

import http.client
import itertools
import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import sqlalchemy as sa

from app.store import Store
from tests.support.ratings import incoming

STORED = """
SELECT 'rating ' || user_id || ' ' || item_id || ' ' || CAST(value AS integer)
FROM ratings JOIN users ON users.user_key = ratings.user_key JOIN items ON items.item_key = ratings.item_key
WHERE value IS NOT NULL
UNION ALL SELECT 'event ' || event_id FROM events
"""
"""One text for each row, see `Batch.rows`. A text that comes twice was stored twice."""


N_ITEMS = 10_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one request: ratings of new items by one user, or new events. Every batch of a load is another one."""

    number: int
    size: int

    @property
    def is_of_events(self) -> bool:
        return self.number % 3 == 0

    @property
    def user_id(self) -> str:
        # Others take over when these have rated all items, so that no row is ever written again.
        return f"u{self.number % 50 + 50 * (self.number // 50 // self._per_user)}"

    @property
    def rows(self) -> list[str]:
        if self.is_of_events:
            return [f"event e{self.number}-{n}" for n in range(self.size)]
        return [f"rating {self.user_id} i{self._item(n)} {self._value(n)}" for n in range(self.size)]

    @property
    def _per_user(self) -> int:
        return N_ITEMS // self.size

    def _item(self, n: int) -> int:
        return self.number // 50 % self._per_user * self.size + n

    def _value(self, n: int) -> int:
        return 1 + (self.number + n) % 5

    def send(self, connection: http.client.HTTPConnection) -> tuple[int, str]:
        """The status and the body of the answer."""
        if self.is_of_events:
            path = "/events"
            body: object = {
                "events": [
                    {"event_id": f"e{self.number}-{n}", "type": "clicked", "user_id": self.user_id, "item_id": f"i{n}"}
                    for n in range(self.size)
                ]
            }
        elif self.size == 1:
            path, body = "/ratings", self._rating(0)
        else:
            path, body = "/ratings/batch", {"ratings": [self._rating(n) for n in range(self.size)]}
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def _rating(self, n: int) -> dict[str, object]:
        return {"user_id": self.user_id, "item_id": f"i{self._item(n)}", "value": self._value(n)}

    def record(self, store: Store) -> None:
        """The same without a service; ratings only."""
        rows = [(self.user_id, f"i{self._item(n)}", self._value(n), self.number) for n in range(self.size)]
        store.ratings.record(incoming(*rows))


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status`: of the answer; 0 where the connection broke, and -1 where a store without HTTP raised an error."""

    batch: Batch
    status: int
    detail: str
    sent_at: float
    answered_at: float

    @property
    def is_acknowledged(self) -> bool:
        return self.status in {200, 201}


@dataclass
class WriteLoad:
    """`outcomes`: of all batches, in the order of the answers."""

    outcomes: list[Outcome] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @contextmanager
    def to_service(self, address: str, *, n_writers: int, size: int, pause: float = 0.0) -> Iterator[None]:
        """Writers at `address` until the block ends, each on a connection that it opens again when it breaks."""

        def run(stopping: threading.Event) -> None:
            connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
            while not stopping.wait(pause):
                batch, sent_at = Batch(next(self.numbers), size), time.monotonic()
                try:
                    status, detail = batch.send(connection)
                except (OSError, http.client.HTTPException) as error:
                    connection.close()
                    status, detail = 0, repr(error)
                    stopping.wait(0.05)  # the service may be away for seconds
                self.outcomes.append(Outcome(batch, status, detail, sent_at, time.monotonic()))
            connection.close()

        with _threads(run, n_writers):
            yield

    @contextmanager
    def to_store(self, store: Store, *, n_writers: int, pause: float = 0.0) -> Iterator[None]:
        """The same without HTTP, for one process."""

        def run(stopping: threading.Event) -> None:
            while not stopping.wait(pause):
                batch, sent_at = Batch(next(self.numbers), 1), time.monotonic()
                if batch.is_of_events:
                    continue
                try:
                    batch.record(store)
                except Exception as error:  # noqa: BLE001  counted, and judged by the fault
                    status, detail = -1, repr(error)
                else:
                    status, detail = 201, ""
                self.outcomes.append(Outcome(batch, status, detail, sent_at, time.monotonic()))

        with _threads(run, n_writers):
            yield

    def acknowledged(self, *, since: float = 0.0, until: float = float("inf")) -> list[Outcome]:
        """Those acknowledged in the time from `since` to `until` (of `time.monotonic`)."""
        return [each for each in self.outcomes if each.is_acknowledged and since <= each.answered_at <= until]

    def refused(self, *, since: float = 0.0, until: float = float("inf")) -> list[Outcome]:
        """Those refused that were both sent and answered in the time."""
        return [
            each
            for each in self.outcomes
            if not each.is_acknowledged and since <= each.sent_at and each.answered_at <= until
        ]


@contextmanager
def _threads(run: Callable[[threading.Event], None], n: int) -> Iterator[None]:
    stopping = threading.Event()
    threads = [threading.Thread(target=run, args=(stopping,)) for _ in range(n)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def stored_rows(database: Path | str) -> Counter[str]:
    """How often each row is stored in the SQLite file, or in the Postgres database at the URL."""
    if isinstance(database, Path):
        with closing(sqlite3.connect(database)) as connection:
            return Counter(row for (row,) in connection.execute(STORED))
    url = sa.make_url(database).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as session:
        return Counter(row for (row,) in session.execute(STORED))


def n_lost(outcomes: Sequence[Outcome], stored: Counter[str]) -> int:
    """The number of rows of the outcomes that are not stored."""
    return sum(row not in stored for each in outcomes for row in each.batch.rows)
