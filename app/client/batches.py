"""Sends any number of rows in batches; outcomes refer to the index of a row in the whole input."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from .call import Call, Steps
from .errors import ReckonError
from .wire import plain

Row = TypeVar("Row")

MAX_ROWS = 1_000
MAX_BYTES = 1_000_000
"""Size of the rows of one batch as JSON. The service takes bodies up to 1 MiB, so the rest is left for the envelope."""


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """The outcome of one row.

    `index`: in the batch, from 0.
    `status`: stored, replaced, unchanged or rejected.
    `problem`: why the row was rejected; None for the others.
    """

    index: int
    status: str
    problem: str | None = None


class BatchOutcome(Protocol):
    """The answer to a batch: of ratings, events, items or users."""

    @property
    def results(self) -> tuple[RowOutcome, ...]: ...


@dataclass(frozen=True, slots=True)
class RejectedRow(Generic[Row]):
    """A row that was not stored. `index`: in the whole input, from 0."""

    index: int
    row: Row
    problem: str


@dataclass(frozen=True, slots=True)
class Sent(Generic[Row]):
    """The outcome of all rows. `unchanged`: rows that the service had already."""

    stored: int
    replaced: int
    unchanged: int
    rejected: tuple[RejectedRow[Row], ...]


def in_batches(rows: Iterable[Row], call: Callable[[Sequence[Row]], Call[BatchOutcome]]) -> Steps[Sent[Row]]:
    """Sends `rows` batch by batch and holds one batch in memory at a time.

    The first batch that fails ends it. The error has a note that says how many rows were sent before; sending all rows
    again does no harm, since the service leaves known rows unchanged.
    """
    start = 0
    counts = dict.fromkeys(("stored", "replaced", "unchanged", "rejected"), 0)
    rejected: list[RejectedRow[Row]] = []
    for batch in batches(rows):
        # The client that follows these steps sends the call and returns the answer here.
        try:
            outcome: BatchOutcome = yield call(batch)
        except ReckonError as error:
            error.add_note(f"the rows before index {start} were sent and answered")
            raise
        for result in outcome.results:
            # A result has its index in the batch; the caller knows the index in the whole.
            counts[result.status] += 1
            if result.status == "rejected":
                row = batch[result.index]
                rejected.append(RejectedRow(start + result.index, row, result.problem or ""))
        start += len(batch)
    return Sent(counts["stored"], counts["replaced"], counts["unchanged"], tuple(rejected))


def batches(rows: Iterable[Row], max_rows: int = MAX_ROWS, max_bytes: int = MAX_BYTES) -> Iterator[list[Row]]:
    """Batches of up to `max_rows` rows and `max_bytes` bytes; a larger row is a batch of its own."""
    batch: list[Row] = []
    n_bytes = 0
    for row in rows:
        size = _size(row)
        if batch and (len(batch) == max_rows or n_bytes + size > max_bytes):
            yield batch
            batch, n_bytes = [], 0
        batch.append(row)
        n_bytes += size
    if batch:
        yield batch


def _size(row: Any) -> int:
    # As `wire.encode` writes it, or longer by its spaces; 1 for the comma.
    return len(json.dumps(row, default=plain)) + 1
