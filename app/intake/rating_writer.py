"""Stores the ratings of an import in a thread of its own, while the next ones are read."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.entities import IncomingRatings
from app.intake.blocks import Block
from app.intake.ratings import ReadRatings
from app.store import Store

Part = tuple[Block, ReadRatings]
Stored = Callable[[Block, ReadRatings, NDArray[np.int8]], None]


class RatingWriter:
    """Stores blocks in their order, as many in one transaction as the database takes in less than a second.

    `stored`: called with the (n,) status of the ratings of each block that is stored, by the thread that adds blocks.
    At the end of the context all blocks are stored. Errors of the store are raised by `add`, or then.
    """

    def __init__(self, store: Store, stored: Stored) -> None:
        self._ratings = store.ratings
        self._stored = stored
        self._thread = ThreadPoolExecutor(1, "ratings")
        self._waiting: list[Part] = []
        self._writing: tuple[list[Part], Future[NDArray[np.int8]]] | None = None

    def add(self, block: Block, read: ReadRatings) -> None:
        self._waiting.append((block, read))
        if sum(len(each.ratings) for _, each in self._waiting) >= self._ratings.rows_at_once:
            self._write()

    def _write(self) -> None:
        """Begin to store what waits, once what is being stored has ended."""
        self._finish()
        parts, self._waiting = self._waiting, []
        ratings = IncomingRatings.joined([read.ratings for _, read in parts])
        self._writing = parts, self._thread.submit(lambda: self._ratings.record(ratings).status)

    def _finish(self) -> None:
        if self._writing is None:
            return
        (parts, future), self._writing = self._writing, None
        try:
            status, start = future.result(), 0
        except Exception:
            self._waiting = []  # what comes after rows that could not be stored is not stored either
            raise
        for block, read in parts:
            end = start + len(read.ratings)
            self._stored(block, read, status[start:end])
            start = end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # What was read before an error is stored, as if each block had been stored at once.
            if self._waiting:
                self._write()
            self._finish()
        except Exception:
            if error is None:  # otherwise the error that ended the reading is the one to tell
                raise
        finally:
            self._thread.shutdown()
