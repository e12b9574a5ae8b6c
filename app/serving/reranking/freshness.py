"""What was added lately rises."""

from typing import ClassVar

import numpy as np

from app.serving.context import Context
from app.serving.query import Ranked
from app.serving.reranking.weighing import weigh

MICROSECONDS_A_DAY = 86_400_000_000


class Freshness:
    name: ClassVar[str] = "freshness"

    def is_on(self, context: Context) -> bool:
        return context.placement.settings.freshness > 0

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        """Factor = 1 + freshness 2^(-age / half life); 1 where it is not known when an item was added."""
        placement = context.placement.settings
        added_at = context.serving.catalogue.added_at[ranked.rows]
        is_known = added_at > np.iinfo(np.int64).min
        age_days = np.maximum(context.now - np.where(is_known, added_at, 0), 0) / MICROSECONDS_A_DAY
        lift = placement.freshness * 0.5 ** (age_days / placement.freshness_half_life_days)
        return weigh(ranked, 1 + np.where(is_known, lift, 0.0))
