"""The items whose score for the user is highest: from the index, and of those newer than it, one by one."""

from typing import ClassVar

import numpy as np

from app.serving.eligible import Eligible
from app.serving.live import Live
from app.serving.query import Query, Rows
from app.serving.tastes import Taste


class Nearest:
    name: ClassVar[str] = "nearest"

    def candidates(self, query: Query, taste: Taste, eligible: Eligible, live: Live) -> Rows:
        """Asked with the mask as a filter: as fast as asking for more and dropping some, and never too few."""
        snapshot = live.snapshot
        if snapshot is None or taste.side is None:
            return np.empty(0, dtype=np.int64)
        rows, _ = snapshot.nearest(taste.side.vector, query.limit, eligible.mask[: live.n_learned])
        newer = np.flatnonzero(eligible.mask[live.n_learned :]) + live.n_learned
        if len(newer):
            scores = live.newer_vectors(newer) @ taste.side.vector
            rows = np.append(rows, newer[np.argsort(-scores, kind="stable")[: query.limit]])
        return rows
