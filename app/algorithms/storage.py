"""Where arrays with one element for each rating live, and how they are walked: a block at a time.

In memory, or wherever a `Storage` puts them: files that are mapped, whose pages can be dropped. What is computed from
them does not depend on it. Counts and rows are exact; sums of floats are made of blocks of a fixed length, `SUM_BLOCK`,
whatever the length of the blocks that are walked.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

SUM_BLOCK = 1 << 16
"""Elements that numpy sums at once. A constant: the last bits of a sum depend on it."""


class Storage(Protocol):
    """Makes the arrays that have one element for each rating."""

    @property
    def block(self) -> int:
        """Elements that are walked at a time, so that temporary arrays are no longer than that."""
        ...

    @property
    def sorted_at_once(self) -> int:
        """Elements that may be put in order in memory."""
        ...

    def empty(self, n: int, dtype: DTypeLike) -> NDArray[Any]:
        """(n,), of any content."""
        ...

    def relieve(self) -> None:
        """Called between two blocks: memory may be freed here."""
        ...


class Memory:
    """Arrays as numpy makes them."""

    block = 1 << 20
    sorted_at_once = 1 << 62

    def empty(self, n: int, dtype: DTypeLike) -> NDArray[Any]:
        return np.empty(n, dtype)

    def relieve(self) -> None:
        pass


IN_MEMORY: Storage = Memory()


def spans(n: int, storage: Storage) -> Iterator[slice]:
    """Slices of up to `storage.block` elements that cover 0 .. n - 1, in order."""
    for start in range(0, n, storage.block):
        yield slice(start, min(start + storage.block, n))
        storage.relieve()


def total(n: int, part: Callable[[slice], NDArray[Any]], storage: Storage = IN_MEMORY) -> float:
    """The sum in float64 of n numbers, which `part` gives for each slice of them."""
    result = 0.0
    for start in range(0, n, SUM_BLOCK):
        result += float(part(slice(start, min(start + SUM_BLOCK, n))).sum(dtype=np.float64))
        storage.relieve()
    return result


def mean(values: NDArray[np.floating], storage: Storage = IN_MEMORY) -> float:
    """The mean of at least one value, (n,)."""
    return total(len(values), lambda span: values[span], storage) / len(values)


def mean_square(values: NDArray[np.floating], centre: float, storage: Storage = IN_MEMORY) -> float:
    """The mean of (value - centre)^2 in float64 over at least one value, (n,)."""
    return total(len(values), lambda span: (values[span].astype(np.float64) - centre) ** 2, storage) / len(values)


def count_rows(
    rows: NDArray[np.integer],
    n_rows: int,
    storage: Storage = IN_MEMORY,
    where: Callable[[slice], NDArray[np.bool_]] | None = None,
) -> NDArray[np.int64]:
    """(n_rows,) how often each row occurs in `rows`, (n,). `where`: gives a mask for each slice of them."""
    counts = np.zeros(n_rows, np.int64)
    # A block is no shorter than the counts, which every block adds up.
    step = max(storage.block, n_rows // 4)
    for start in range(0, len(rows), step):
        span = slice(start, start + step)
        part = rows[span] if where is None else rows[span][where(span)]
        counts += np.bincount(part, minlength=n_rows)
        storage.relieve()
    return counts


def add_rows(
    rows: NDArray[np.integer],
    n_rows: int,
    part: Callable[[slice], NDArray[np.floating]],
    storage: Storage = IN_MEMORY,
) -> NDArray[np.float64]:
    """(n_rows,) the sum of the numbers of each row, which `part` gives for each slice of `rows`, added up in order."""
    sums = np.zeros(n_rows)
    for span in spans(len(rows), storage):
        # One after the other, as `np.bincount` does: its sums over all of `rows` have the same bits.
        np.add.at(sums, rows[span], part(span).astype(np.float64, copy=False))
    return sums


def filled(
    n: int, dtype: DTypeLike, part: Callable[[slice], NDArray[Any]], storage: Storage = IN_MEMORY
) -> NDArray[Any]:
    """(n,), filled with what `part` gives for each slice."""
    array = storage.empty(n, dtype)
    for span in spans(n, storage):
        array[span] = part(span)
    return array
