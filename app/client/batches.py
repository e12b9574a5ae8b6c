"""Rows of any number, sent as batches; what became of them, by their place in the whole."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from .call import Call, Steps
from .errors import ReckonError
from .reading import plain

Row = TypeVar("Row")

MAX_ROWS = 1_000
MAX_BYTES = 1_000_000
"""Of the rows of one batch, as JSON; the service takes bodies up to 1 MiB."""


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """`index`: in the batch. `status`: stored, replaced, unchanged or rejected. `problem`: why, of a rejected one."""

    index: int
    status: str
    problem: str | None = None


class BatchOutcome(Protocol):
    @property
    def results(self) -> tuple[RowOutcome, ...]: ...


@dataclass(frozen=True, slots=True)
class RejectedRow(Generic[Row]):
    """`index`: in the whole input, from 0."""

    index: int
    row: Row
    problem: str


@dataclass(frozen=True, slots=True)
class Sent(Generic[Row]):
    """What became of all rows together. `unchanged`: the service had them already."""

    stored: int
    replaced: int
    unchanged: int
    rejected: tuple[RejectedRow[Row], ...]


def in_batches(rows: Iterable[Row], call: Callable[[Sequence[Row]], Call[BatchOutcome]]) -> Steps[Sent[Row]]:
    """Reads `rows` as it goes, and holds one batch of them at a time.

    A batch that fails ends it, with a note that says how far it had come; sending all rows once more does no harm.
    """
    start = 0
    counts = dict.fromkeys(("stored", "replaced", "unchanged", "rejected"), 0)
    rejected: list[RejectedRow[Row]] = []
    for batch in batches(rows):
        try:
            outcome: BatchOutcome = yield call(batch)
        except ReckonError as error:
            error.add_note(f"the rows before index {start} were sent and answered")
            raise
        for result in outcome.results:
            counts[result.status] += 1
            if result.status == "rejected":
                row = batch[result.index]
                rejected.append(RejectedRow(start + result.index, row, result.problem or ""))
        start += len(batch)
    return Sent(counts["stored"], counts["replaced"], counts["unchanged"], tuple(rejected))


def batches(rows: Iterable[Row], max_rows: int = MAX_ROWS, max_bytes: int = MAX_BYTES) -> Iterator[list[Row]]:
    """Up to `max_rows` rows and `max_bytes` bytes each; a larger row stands alone, for the service to judge."""
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
    return len(json.dumps(row, default=plain)) + 1
