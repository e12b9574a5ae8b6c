"""Sources of candidates: one file a source. Each proposes eligible rows; `merge` joins them without duplicates."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from app.serving.context import Context
from app.serving.provenance import PROPOSERS
from app.serving.query import Candidates
from app.serving.rows import Rows

N_PROPOSERS = len(PROPOSERS)
ALL = (1 << N_PROPOSERS) - 1


class Source(Protocol):
    """Proposes eligible rows, best first by its own reckoning; none where it has nothing to say."""

    @property
    def name(self) -> str:
        """As in `app.serving.provenance`."""

    def candidates(self, context: Context) -> Rows: ...


def merge(proposals: Sequence[tuple[int, Rows]]) -> Candidates:
    """The union of what sources propose, each with its bit, ascending by row, and who proposed each."""
    rows = np.concatenate([rows for _, rows in proposals])
    bits = np.array([bit for bit, _ in proposals]).repeat([len(rows) for _, rows in proposals])
    # Row and bit in one number: sorting numbers is several times quicker than sorting places.
    marked = rows << N_PROPOSERS | bits
    marked.sort()
    rows, bits = marked >> N_PROPOSERS, marked & ALL
    is_first = np.empty(len(rows), np.bool_)
    is_first[:1] = True
    np.not_equal(rows[1:], rows[:-1], out=is_first[1:])
    starts = is_first.nonzero()[0]
    return Candidates(rows[starts], np.bitwise_or.reduceat(bits, starts) if len(starts) else bits)
