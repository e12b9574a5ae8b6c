"""Sources of candidates: one file a source. Each proposes eligible rows; `merge` joins them without duplicates."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from app.serving.context import Context
from app.serving.query import Candidates
from app.serving.rows import Rows


class Source(Protocol):
    """Proposes eligible rows, best first by its own reckoning; none where it has nothing to say."""

    @property
    def name(self) -> str:
        """As in `app.serving.proposers`."""

    def candidates(self, context: Context) -> Rows: ...


def merge(proposals: Sequence[tuple[int, Rows]]) -> Candidates:
    """The union of what sources propose, each with its bit, ascending by row, and who proposed each."""
    rows = np.concatenate([rows for _, rows in proposals])
    bits = np.repeat(np.array([bit for bit, _ in proposals]), [len(rows) for _, rows in proposals])
    order = np.argsort(rows, kind="stable")
    rows, bits = rows[order], bits[order]
    is_first = np.empty(len(rows), np.bool_)
    is_first[:1] = True
    np.not_equal(rows[1:], rows[:-1], out=is_first[1:])
    starts = np.flatnonzero(is_first)
    return Candidates(rows[starts], np.bitwise_or.reduceat(bits, starts) if len(starts) else bits)
