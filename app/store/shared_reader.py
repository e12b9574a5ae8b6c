"""One connection to Postgres for the point reads of an event loop; concurrent reads of one statement are batched.

With 16 concurrent callers a read costs this process 8 us, a history of 100 ratings 25 us; through the pool, from a
thread, 160 and 250 us. The connection lives on the loop: a thread that reads measured no faster, and a server that
stops answering would block it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog

from app.errors import StorageUnavailableError
from app.store.availability import READ_SECONDS
from app.store.dialect import Row

log = structlog.get_logger()

LATE_SECONDS = 0.1
"""A time limit that ends so much later than it should says that the loop was busy, not that the server is silent."""

CONNECTION_ARGUMENTS: Mapping[str, Any] = {
    "connect_timeout": 5,
    # Probes detect a host that disappeared without closing the connection.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
# Every statement reads few rows by an index. Stale statistics of a table that has grown must not make the planner scan.
SESSION_SETTINGS = f"""
    SET statement_timeout = '{round(1_000 * READ_SECONDS)}ms'; SET plan_cache_mode = force_generic_plan; SET jit = off;
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off
"""


def no_answer() -> StorageUnavailableError:
    return StorageUnavailableError("the database does not answer")


@dataclass(slots=True)
class ReadBatch:
    """The pending reads of one statement, in order of arrival.

    `limit`: gives them up when their time is over; set by the session at once.
    """

    statement: str
    parameters: list[object] = field(default_factory=list)
    answers: list[asyncio.Future[Row | None]] = field(default_factory=list)
    limit: asyncio.TimerHandle = field(init=False)

    def resolve(self, rows: list[Row]) -> None:
        self.limit.cancel()
        by_place = {row[0]: row[1:] for row in rows}
        for place, answer in enumerate(self.answers, start=1):
            if not answer.done():  # a caller may have been cancelled meanwhile
                answer.set_result(by_place.get(place))

    def reject(self, error: Exception) -> None:
        self.limit.cancel()
        for answer in self.answers:
            if not answer.done():
                answer.set_exception(error)


class SharedReader:
    """Opens a session at the first read, and another one after a session has failed.

    A statement has one `%s`, for an array of parameters. The first column of each result row is the position, from 1,
    of the parameter to which the row belongs.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = {**arguments, **CONNECTION_ARGUMENTS, "application_name": "reckon-reads"}
        self._session: ReaderSession | None = None

    async def row(self, statement: str, parameter: object) -> Row | None:
        """The parameter's row, None where it has none; sees everything committed before the call."""
        session = self._session
        if session is None or not session.is_open_on(asyncio.get_running_loop()):
            session = self._session = ReaderSession(self._arguments)
        return await session.read(statement, parameter)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()


class ReaderSession:
    """A task that sends one batch after the other; it ends when the server cannot be reached or stops answering."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments
        self._loop = asyncio.get_running_loop()
        self._pending: dict[str, ReadBatch] = {}
        self._has_pending = asyncio.Event()
        self._has_given_up = False
        self._task = self._loop.create_task(self._run())

    def is_open_on(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self._loop is loop and not self._has_given_up and not self._task.done()

    def read(self, statement: str, parameter: object) -> asyncio.Future[Row | None]:
        """Adds the read to the next batch of its statement."""
        batch = self._pending.get(statement)
        if batch is None:
            batch = self._pending[statement] = ReadBatch(statement)
            # From here on, since to connect and to wait for the batch before take time as well.
            self._limit(batch, READ_SECONDS)
            self._has_pending.set()
        answer: asyncio.Future[Row | None] = self._loop.create_future()
        batch.parameters.append(parameter)
        batch.answers.append(answer)
        return answer

    async def _run(self) -> None:
        batch: ReadBatch | None = None
        try:
            while True:
                connection = await psycopg.AsyncConnection.connect(**self._arguments, autocommit=True)
                try:
                    await connection.execute(SESSION_SETTINGS)
                    batch = await self._send_batches(connection, batch)
                finally:
                    await connection.close()
        except psycopg.Error as error:
            self._reject(error, batch)
        except Exception as error:
            log.exception("shared reader failed")  # the next read opens another session
            self._reject(error, batch)
        finally:
            self._reject(no_answer(), batch)

    async def _send_batches(
        self, connection: psycopg.AsyncConnection[Row], batch: ReadBatch | None
    ) -> ReadBatch | None:
        """Runs until the connection breaks; returns the batch to retry if it broke after it had worked."""
        cursor = connection.cursor(binary=True)
        has_worked = False
        while not connection.closed:
            # The batch leaves the queue before it is sent: a later caller may have written after the server read.
            batch = batch or await self._next_batch()
            try:
                await cursor.execute(batch.statement, (batch.parameters,), prepare=True)
                batch.resolve(await cursor.fetchall())
            except psycopg.Error as error:
                if connection.broken and has_worked:
                    return batch  # the server was restarted since the last batch
                batch.reject(error)
            except Exception as error:  # noqa: BLE001  a defect of one batch must not fail the pending ones
                batch.reject(error)
                return None  # the protocol may be between a query and its result: connect again
            batch, has_worked = None, True
        return None

    async def _next_batch(self) -> ReadBatch:
        while not self._pending:
            self._has_pending.clear()
            await self._has_pending.wait()
        return self._pending.pop(next(iter(self._pending)))

    def _limit(self, batch: ReadBatch, seconds: float) -> None:
        due = self._loop.time() + seconds
        batch.limit = self._loop.call_at(due, self._give_up, batch, due)

    def _give_up(self, batch: ReadBatch, due: float) -> None:
        """Fails all pending reads at once: cancelling a driver whose server is silent may take long."""
        if self._loop.time() - due > LATE_SECONDS:
            self._limit(batch, LATE_SECONDS)  # the answer may have arrived meanwhile, and be the next thing to read
            return
        self._has_given_up = True
        self._reject(no_answer(), batch)
        self._task.cancel()

    def _reject(self, error: Exception, batch: ReadBatch | None) -> None:
        pending, self._pending = self._pending, {}
        for each in (*pending.values(), *([] if batch is None else [batch])):
            each.reject(error)

    def close(self) -> None:
        """From any thread, once no more reads come."""
        if not self._task.done():
            self._loop.call_soon_threadsafe(self._task.cancel)
