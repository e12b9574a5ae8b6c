"""One connection to Postgres for the small reads of an event loop: all who wait for the same are answered at once.

With 16 callers a read costs this process 8 us, a history of 100 ratings 25 us; by the pool, from a thread, 160 and
250 us. It lives on the loop itself: a reading thread measured no faster, and a server that keeps silent would hold it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import structlog

from app.errors import UnavailableError
from app.store.lookup import Row

log = structlog.get_logger()

STATEMENT_SECONDS = 5
ANSWER_SECONDS = STATEMENT_SECONDS + 1.0  # of a server that does not even say that it timed out
CONNECTING: Mapping[str, Any] = {
    "connect_timeout": 5,
    "application_name": "reckon-reads",
    "keepalives_idle": 5,  # a host that is gone is noticed
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
# All are look-ups of few rows by an index, whatever the statistics say of a table that has grown since.
SETTINGS = f"""
    SET statement_timeout = '{STATEMENT_SECONDS}s'; SET plan_cache_mode = force_generic_plan; SET jit = off;
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off
"""


@dataclass(slots=True)
class Batch:
    """Those who wait for rows of one statement, in order of arrival."""

    statement: str
    parameters: list[object] = field(default_factory=list)
    answers: list[asyncio.Future[Row | None]] = field(default_factory=list)

    def resolve(self, rows: list[Row]) -> None:
        found = {row[0]: row[1:] for row in rows}
        for place, answer in enumerate(self.answers, start=1):
            if not answer.done():  # the caller may have gone
                answer.set_result(found.get(place))

    def reject(self, error: Exception) -> None:
        for answer in self.answers:
            if not answer.done():
                answer.set_exception(error)


class SharedReader:
    """A statement has one `%s`, an array of parameters; a row of it begins with the place, from 1, of its parameter."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = {**arguments, **CONNECTING}
        self._session: Session | None = None

    async def row(self, statement: str, parameter: object) -> Row | None:
        """The parameter's row, None where it has none; sees everything committed before the call."""
        session = self._session
        if session is None or not session.is_open_on(asyncio.get_running_loop()):
            session = self._session = Session(self._arguments)
        return await session.ask(statement, parameter)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()


class Session:
    """Lives as long as connections can be had and answer; the reader's next caller begins another."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, Batch] = {}
        self._more = asyncio.Event()
        self._has_given_up = False
        self._task = self._loop.create_task(self._serve())

    def is_open_on(self, loop: asyncio.AbstractEventLoop) -> bool:
        return self._loop is loop and not self._has_given_up and not self._task.done()

    def ask(self, statement: str, parameter: object) -> asyncio.Future[Row | None]:
        batch = self._waiting.get(statement)
        if batch is None:
            batch = self._waiting[statement] = Batch(statement)
            self._more.set()
        answer: asyncio.Future[Row | None] = self._loop.create_future()
        batch.parameters.append(parameter)
        batch.answers.append(answer)
        return answer

    async def _serve(self) -> None:
        batch: Batch | None = None
        try:
            while True:
                connection = await psycopg.AsyncConnection.connect(**self._arguments, autocommit=True)
                try:
                    await connection.execute(SETTINGS)
                    batch = await self._answer(connection, batch)
                finally:
                    await connection.close()
        except psycopg.Error as error:
            self._reject(error, batch)
        except Exception as error:
            log.exception("shared reader failed")  # the next caller begins another session
            self._reject(error, batch)
        finally:
            self._reject(UnavailableError("the database does not answer"), batch)

    async def _answer(self, connection: psycopg.AsyncConnection[Row], batch: Batch | None) -> Batch | None:
        """Until the connection breaks; returns the batch to try once more, if it broke after it had worked."""
        cursor = connection.cursor(binary=True)
        has_worked = False
        while not connection.closed:
            batch = batch or await self._next()
            # Taken off the queue before it is sent: whoever comes now may have written after what this one reads.
            deadline = self._loop.call_later(ANSWER_SECONDS, self._give_up, batch)
            try:
                await cursor.execute(batch.statement, (batch.parameters,), prepare=True)
                batch.resolve(await cursor.fetchall())
            except psycopg.Error as error:
                if connection.broken and has_worked:
                    return batch  # the server was restarted since
                batch.reject(error)
            except Exception as error:  # noqa: BLE001  a defect that one batch met is not that of those who wait
                batch.reject(error)
                return None  # it may have broken off between a question and its answer
            finally:
                deadline.cancel()
            batch, has_worked = None, True
        return None

    async def _next(self) -> Batch:
        while not self._waiting:
            self._more.clear()
            await self._more.wait()
        return self._waiting.pop(next(iter(self._waiting)))

    def _give_up(self, batch: Batch) -> None:
        """The server keeps silent: all who wait are told, and nobody waits while the driver tries to end this."""
        self._has_given_up = True
        self._reject(UnavailableError("the database does not answer"), batch)
        self._task.cancel()

    def _reject(self, error: Exception, batch: Batch | None) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in (*waiting.values(), *([] if batch is None else [batch])):
            each.reject(error)

    def close(self) -> None:
        """From any thread, once nobody asks any more."""
        if not self._task.done():
            self._loop.call_soon_threadsafe(self._task.cancel)
