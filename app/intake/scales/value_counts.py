"""Counts the distinct values of a column in bounded memory."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

MAX_DISTINCT = 100_000

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ValueCounts:
    """Distinct values and the number of their occurrences.

    `values`: (n,) ascending and finite. `counts`: (n,) positive.
    """

    values: Float64Array
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, batches: Iterable[Float64Array]) -> Self:
        """Count the values of all `batches`, as `ValueTally` does."""
        tally = ValueTally()
        for batch in batches:
            tally.add(batch)
        return cls(tally.counts.values, tally.counts.counts)

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def only(self, is_kept: NDArray[np.bool_]) -> Self:
        """The entries selected by an (n,) mask."""
        return type(self)(self.values[is_kept], self.counts[is_kept])

    def n_of(self, is_counted: NDArray[np.bool_]) -> int:
        """The number of occurrences of the values selected by an (n,) mask."""
        return int(self.counts[is_counted].sum())


class ValueTally:
    """Counts values that arrive in batches.

    The result depends neither on the order of the values nor on their distribution over batches. Of more than
    `MAX_DISTINCT` distinct values, those that agree in their leading bits are counted as the smallest of them. The
    largest value of all is exact.
    """

    def __init__(self) -> None:
        self._values = np.empty(0)
        self._counts = np.empty(0, np.int64)
        self._highest = -np.inf
        self._n_bits = 0

    def add(self, batch: Float64Array) -> None:
        """Add (n,) finite values."""
        if not len(batch):
            return
        # Adding 0 turns -0.0, which has other bits than 0.0, into 0.0.
        new, new_counts = np.unique(batch + 0.0, return_counts=True)
        self._highest = max(self._highest, new[-1])
        values, counts = np.concatenate([self._values, new]), np.concatenate([self._counts, new_counts])
        order = np.argsort(values, kind="stable")
        values, counts = _merged(values[order], counts[order], self._n_bits)
        while len(values) > MAX_DISTINCT:
            self._n_bits += 1
            values, counts = _merged(values, counts, self._n_bits)
        self._values, self._counts = values, counts

    @property
    def counts(self) -> ValueCounts:
        values = self._values.copy()
        if len(values):
            values[-1] = self._highest
        return ValueCounts(values, self._counts)


def _merged(values: Float64Array, counts: NDArray[np.int64], n_bits: int) -> tuple[Float64Array, NDArray[np.int64]]:
    """Merge neighbours that are equal without their last `n_bits` bits; `values` (n,) ascend and may repeat."""
    leading = values.view(np.int64) >> n_bits
    starts = np.flatnonzero(np.concatenate([[True], leading[1:] != leading[:-1]]))
    return values[starts], np.add.reduceat(counts, starts)
