"""The items rated most; behind them those that are newer than the snapshot, newest last."""

from typing import ClassVar

import numpy as np

from app.serving.context import Context
from app.serving.rows import Rows


class PopularSource:
    name: ClassVar[str] = "popular"

    def candidates(self, context: Context) -> Rows:
        rows, n = context.serving.popular_rows, context.n_pooled
        found = context.eligible.first(n, rows)
        if len(found) < n:
            newer = context.eligible.among(np.arange(len(rows), len(context.eligible.mask)))
            found = np.append(found, newer)[:n]
        return found
