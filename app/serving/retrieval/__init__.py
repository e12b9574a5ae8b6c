"""Sources of candidates: one file a source. Each proposes eligible rows; `merge` joins them without duplicates."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np

from app.serving.eligible import Eligible
from app.serving.live import Live
from app.serving.query import Candidates, Query, Rows
from app.serving.tastes import Taste


class Source(Protocol):
    """Proposes up to `query.limit` eligible rows, best first by its own reckoning."""

    name: ClassVar[str]

    def candidates(self, query: Query, taste: Taste, eligible: Eligible, live: Live) -> Rows: ...


def merge(proposals: Sequence[Rows]) -> Candidates:
    """The union of what sources 0, 1, ... propose, ascending by row, and who proposed each."""
    rows, places = np.unique(np.concatenate(proposals), return_inverse=True)
    proposed_by = np.zeros(len(rows), dtype=np.uint8)
    start = 0
    for source, proposal in enumerate(proposals):
        proposed_by[places[start : start + len(proposal)]] |= np.uint8(1 << source)
        start += len(proposal)
    return Candidates(rows, proposed_by)
