"""The items liked most; after them items newer than the snapshot, the newest last."""

import numpy as np

from app.serving.parts import Context, Source
from app.serving.rows import Rows


class PopularSource(Source):
    name = "popular"

    def candidates(self, context: Context) -> Rows:
        popular, n = context.serving.popular_rows, context.n_pooled
        rows = context.eligible.first(n, popular)
        if len(rows) < n:
            # A catalogue so small, or so consumed, that the list would end: new items fill it.
            newer = context.eligible.among(np.arange(len(popular), len(context.eligible.mask)))
            rows = np.append(rows, newer)[:n]
        return rows
