"""A share of the slots for items that few have rated: nobody learns about them otherwise."""

import zlib
from typing import ClassVar

import numpy as np

from app.serving.context import Context
from app.serving.query import Ranked
from app.serving.reranking.slots import insert, n_slots

FEW_RATINGS = 10
"""As many as halve the trust in what similar items say, see `app.snapshots.similar`."""

N_TIMES = 5
"""The slots are drawn from that many times as many, so that more than the best few are learned about."""

MICROSECONDS_AN_HOUR = 3_600_000_000


class Exploration:
    name: ClassVar[str] = "exploration"

    def is_on(self, context: Context) -> bool:
        return context.placement.settings.exploration > 0 and context.serving.snapshot is not None

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        """Drawn by a lot that is the same for a user during an hour: a page looked at twice is the same."""
        snapshot = context.serving.snapshot
        if snapshot is None:
            return ranked
        n = n_slots(context.placement.settings.exploration, context.options.limit)
        is_little_known = np.ones(len(context.eligible.mask), np.bool_)
        is_little_known[: snapshot.n_items] = snapshot.item_counts < FEW_RATINGS
        promising = context.best(N_TIMES * n, is_little_known)
        who = zlib.crc32((context.query.user_id or "").encode())
        rng = np.random.default_rng([who, context.now // MICROSECONDS_AN_HOUR])
        drawn = promising[np.sort(rng.permutation(len(promising))[:n])]
        return insert(ranked, drawn, "exploration", context)
