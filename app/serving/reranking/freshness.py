"""What was added recently rises."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from app.entities import UNKNOWN_TIME
from app.serving.candidates import Ranked
from app.serving.parts import Context, Duration, OrderRule, Share
from app.serving.reranking.weighing import weigh

MICROSECONDS_A_DAY = 86_400_000_000


@dataclass(kw_only=True)
class Freshness(OrderRule):
    name = "freshness"
    meaning = "Items that were added recently can be raised."
    depends_on_clock = True

    freshness: Annotated[Share, Field(description="How much newly added items rise")] = 0.0
    freshness_half_life_days: Annotated[Duration, Field(description="An item this old rises by half as much")] = 14.0

    @property
    def is_on(self) -> bool:
        return self.freshness > 0

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        added_at = context.serving.catalogue.added_at[ranked.rows]
        is_known = added_at != UNKNOWN_TIME
        age_days = np.maximum(context.now - np.where(is_known, added_at, 0), 0) / MICROSECONDS_A_DAY
        # factor = 1 + freshness 2^(-age / half life); 1 where the time of addition is not known
        lift = self.freshness * 0.5 ** (age_days / self.freshness_half_life_days)
        return weigh(ranked, 1 + np.where(is_known, lift, 0.0))
