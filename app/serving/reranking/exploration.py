"""A share of the slots for items that few have rated: without being shown they would never be rated."""

import zlib
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from app.serving.candidates import Ranked
from app.serving.parts import Context, OrderRule, Share
from app.serving.reranking.slots import insert, n_slots

FEW_RATINGS = 10
"""As many as halve the weight of a similarity, see `app.scoring.similar`."""

POOL_FACTOR = 5
"""Candidates for each slot, so that more than the best few items are tried."""

MICROSECONDS_AN_HOUR = 3_600_000_000


@dataclass(kw_only=True)
class Exploration(OrderRule):
    name = "exploration"
    meaning = "Some slots can hold items with few ratings, so that they get ratings."
    needs_snapshot = True
    inserts = "exploration"
    depends_on_clock = True

    exploration: Annotated[Share, Field(description="Share of the slots for items that few have rated")] = 0.0

    @property
    def is_on(self) -> bool:
        return self.exploration > 0

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        n = n_slots(self.exploration, context.options.limit)
        # Items newer than the snapshot have no ratings in it.
        is_little_known = np.ones(len(context.eligible.mask), np.bool_)
        is_little_known[: context.serving.n_learned] = context.serving.scorer.arrays.item_counts < FEW_RATINGS
        promising = context.best(POOL_FACTOR * n, is_little_known)
        # One seed a user and hour: a page that is loaded again is the same.
        user_seed = zlib.crc32((context.query.user_id or "").encode())
        rng = np.random.default_rng([user_seed, context.now // MICROSECONDS_AN_HOUR])
        # Without replacement, then in the order of their scores.
        drawn = promising[np.sort(rng.permutation(len(promising))[:n])]
        return insert(ranked, drawn, self.inserts, context)
