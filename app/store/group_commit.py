"""Ratings of many callers in one transaction: whoever comes while one is committed shares the next, and its fsync.

A thread of its own writes; the callers wait on the event loop. Each gets what became of its own rows, as if the callers
had come one after the other, in the order in which they came.
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
from app.store.ratings import Ratings, Recorded

log = structlog.get_logger()

ROWS_TOGETHER = 2_000  # a transaction of so many holds the lock for some 20 ms


@dataclass(frozen=True, slots=True)
class Write:
    """What one caller waits for."""

    incoming: IncomingRatings
    untimed_at: int
    n_rows: int
    recorded: asyncio.Future[Recorded]


class GroupCommit:
    def __init__(self, ratings: Ratings) -> None:
        self._ratings = ratings
        self._queue: SimpleQueue[Write | None] = SimpleQueue()  # None: closed
        self._starting = threading.Lock()
        self._writer: threading.Thread | None = None
        self._is_closed = False

    async def record(self, incoming: IncomingRatings, *, untimed_at: int) -> Recorded:
        """As `Ratings.record`. A caller who leaves has its rows stored all the same."""
        n_rows = len(incoming)  # here, since an error of it in the thread would leave every caller waiting
        with self._starting:
            if self._is_closed:
                raise UnavailableError("the service is stopping")
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="group-commit", daemon=True)
                self._writer.start()
            write = Write(incoming, untimed_at, n_rows, asyncio.get_running_loop().create_future())
            self._queue.put(write)
        return await write.recorded

    def close(self) -> None:
        """Once everything that waits is written."""
        with self._starting:
            self._is_closed = True
            self._queue.put(None)
        if self._writer is not None:
            self._writer.join()

    def _write(self) -> None:
        while group := self._next_group():
            try:
                _tell(group, self._outcomes(group))
            except Exception:
                # The thread lives as long as the process: were it to end, all later callers would wait for ever.
                log.exception("ratings were not acknowledged", n_callers=len(group))

    def _next_group(self) -> list[Write]:
        """All that wait, as far as they are small; of none where the queue is closed."""
        group: list[Write] = []
        n_rows = 0
        with suppress(Empty):
            while n_rows < ROWS_TOGETHER:
                write = self._queue.get(block=not group)
                if write is None:
                    self._queue.put(None)  # for the next look
                    break
                group.append(write)
                n_rows += write.n_rows
        return group

    def _outcomes(self, group: Sequence[Write]) -> list[Recorded | Exception]:
        try:
            return list(self._record(group))
        except ReckonError as error:  # of the database: nothing is stored of anybody's
            return [error] * len(group)
        except Exception as error:  # noqa: BLE001  a defect that one caller's rows met is not the others'
            if len(group) == 1:
                return [error]
            return [outcome for write in group for outcome in self._outcomes([write])]

    def _record(self, group: Sequence[Write]) -> list[Recorded]:
        lengths = [write.n_rows for write in group]
        recorded = self._ratings.record(
            IncomingRatings(
                [user_id for write in group for user_id in write.incoming.user_id],
                [item_id for write in group for item_id in write.incoming.item_id],
                np.concatenate([write.incoming.value for write in group]),
                np.concatenate([write.incoming.rated_at for write in group]),
            ),
            untimed_at=np.repeat([write.untimed_at for write in group], lengths),
        )
        ends = np.cumsum(lengths).tolist()
        return [recorded.part(end - length, end) for end, length in zip(ends, lengths, strict=True)]


def _tell(group: Sequence[Write], outcomes: Sequence[Recorded | Exception]) -> None:
    of_loops = defaultdict(list)
    for write, outcome in zip(group, outcomes, strict=True):
        of_loops[write.recorded.get_loop()].append((write.recorded, outcome))
    for loop, told in of_loops.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, told)


def _resolve(told: Sequence[tuple[asyncio.Future[Recorded], Recorded | Exception]]) -> None:
    for future, outcome in told:
        if future.done():  # the caller has gone
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
