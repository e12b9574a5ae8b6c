"""Group commit: ratings that arrive while one transaction commits share the next one, and its fsync.

A thread of its own writes; the callers wait on the event loop. Each caller gets the outcome of its own rows, as if the
writes had been made one after the other in the order of arrival. Answers to be kept share the transaction, too.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import numpy as np
import structlog

from app.entities import IncomingRatings
from app.errors import ReckonError, UnavailableError
from app.observability.traces import span
from app.store.database import Database
from app.store.kept_answers import Keep, KeptAnswers
from app.store.ratings import Ratings, Recorded

log = structlog.get_logger()

MAX_GROUP_ROWS = 2_000  # a transaction of this size holds the write lock for about 20 ms


@dataclass(frozen=True, slots=True)
class PendingWrite:
    """The rows of one caller, the answer to be kept with them, and the future of their outcome."""

    incoming: IncomingRatings
    untimed_at: int
    n_rows: int
    keep: Keep[Recorded] | None
    recorded: asyncio.Future[Recorded]


class GroupCommit:
    """Queues writes from any event loop for one writing thread, which starts with the first write."""

    def __init__(self, database: Database, ratings: Ratings, kept_answers: KeptAnswers) -> None:
        self._database = database
        self._ratings = ratings
        self._kept_answers = kept_answers
        self._queue: SimpleQueue[PendingWrite | None] = SimpleQueue()  # None: closed
        self._starting = threading.Lock()
        self._writer: threading.Thread | None = None
        self._is_closed = False

    async def record(
        self, incoming: IncomingRatings, *, untimed_at: int, keep: Keep[Recorded] | None = None
    ) -> Recorded:
        """As `Ratings.record`. The rows are stored even if the caller is cancelled.

        Raises `UnavailableError` once the service is stopping, `AlreadyAnsweredError` if the key of `keep` is taken.
        """
        n_rows = len(incoming)  # here: rows of unequal lengths raise, which must not end the thread
        # Under the lock of `close`, so that no write enters the queue behind its end.
        with self._starting:
            if self._is_closed:
                raise UnavailableError("the service is stopping")
            if self._writer is None:
                self._writer = threading.Thread(target=self._run, name="group-commit", daemon=True)
                self._writer.start()
            write = PendingWrite(incoming, untimed_at, n_rows, keep, asyncio.get_running_loop().create_future())
            self._queue.put(write)
        with span("group commit"):  # the transaction is one of several callers, so that no trace holds its queries
            return await write.recorded

    def close(self) -> None:
        """Returns once all pending writes are stored."""
        with self._starting:
            self._is_closed = True
            self._queue.put(None)
        if self._writer is not None:
            self._writer.join()

    def _run(self) -> None:
        while group := self._next_group():
            try:
                outcomes = self._outcomes(group)
                if isinstance(error := outcomes[0], UnavailableError):
                    # What arrived meanwhile has waited as long, and would wait as long again.
                    waiting = self._next_group(blocks=False)
                    group, outcomes = [*group, *waiting], outcomes + [error] * len(waiting)
                _deliver(group, outcomes)
            except Exception:
                # If the thread ended here, all later callers would wait forever.
                log.exception("ratings were not acknowledged", n_callers=len(group))

    def _next_group(self, *, blocks: bool = True) -> list[PendingWrite]:
        """The pending writes up to `MAX_GROUP_ROWS`, waiting for the first; empty once the queue is closed."""
        group: list[PendingWrite] = []
        n_rows = 0
        with suppress(Empty):
            while n_rows < MAX_GROUP_ROWS:
                write = self._queue.get(block=blocks and not group)
                if write is None:
                    self._queue.put(None)  # the next call ends the thread
                    break
                group.append(write)
                n_rows += write.n_rows
        return group

    def _outcomes(self, group: Sequence[PendingWrite]) -> list[Recorded | Exception]:
        try:
            return list(self._record(group))
        except ReckonError as error:  # of the database: nothing was stored
            return [error] * len(group)
        except Exception as error:  # noqa: BLE001  a defect of one write must not fail the others
            if len(group) == 1:
                return [error]
            # In halves, down to the write that fails alone: its key is taken, or it has a defect.
            middle = len(group) // 2
            return [*self._outcomes(group[:middle]), *self._outcomes(group[middle:])]

    def _record(self, group: Sequence[PendingWrite]) -> list[Recorded]:
        lengths = [write.n_rows for write in group]
        with self._database.joined():
            recorded = self._ratings.record(
                IncomingRatings.joined([write.incoming for write in group]),
                untimed_at=np.repeat([write.untimed_at for write in group], lengths),
            )
            # Each caller's rows are one slice of the outcome, in order of arrival.
            ends = np.cumsum(lengths).tolist()
            parts = [recorded.part(end - length, end) for end, length in zip(ends, lengths, strict=True)]
            keeps = [(write.keep, part) for write, part in zip(group, parts, strict=True) if write.keep is not None]
            answers = [(keep.request, keep.answer(part)) for keep, part in keeps]
            self._kept_answers.keep([(request, answer) for request, answer in answers if answer is not None])
        return parts


def _deliver(group: Sequence[PendingWrite], outcomes: Sequence[Recorded | Exception]) -> None:
    by_loop = defaultdict(list)
    for write, outcome in zip(group, outcomes, strict=True):
        by_loop[write.recorded.get_loop()].append((write.recorded, outcome))
    # One call for each loop: each call wakes the loop through a pipe.
    for loop, resolved in by_loop.items():
        with suppress(RuntimeError):  # a closed loop has no callers left
            loop.call_soon_threadsafe(_resolve, resolved)


def _resolve(resolved: Sequence[tuple[asyncio.Future[Recorded], Recorded | Exception]]) -> None:
    for future, outcome in resolved:
        if future.done():  # the caller was cancelled
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
