"""The items rated most; behind them those that are newer than the snapshot, newest last."""

from typing import ClassVar

import numpy as np

from app.serving.eligible import Eligible
from app.serving.live import Live
from app.serving.query import Query, Rows
from app.serving.tastes import Taste


class Popular:
    name: ClassVar[str] = "popular"

    def candidates(self, query: Query, taste: Taste, eligible: Eligible, live: Live) -> Rows:  # noqa: ARG002  the same for every taste
        rows = live.popular_rows
        looked_at = 4 * query.limit
        found = rows[:looked_at][eligible.mask[rows[:looked_at]]]
        if len(found) < query.limit:
            newer = np.arange(len(rows), len(eligible.mask))
            rows = np.append(rows, newer)
            found = rows[eligible.mask[rows]]
        return found[: query.limit]
