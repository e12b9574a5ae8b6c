"""Little-known items rise; how well an item is known is the number of its ratings."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from app.serving.candidates import Ranked
from app.serving.parts import Context, OrderRule, Share
from app.serving.reranking.weighing import weigh


@dataclass(kw_only=True)
class Novelty(OrderRule):
    name = "novelty"
    meaning = "Items with few ratings can be raised."
    needs_snapshot = True

    novelty: Annotated[Share, Field(description="How much little-known items rise")] = 0.0

    @property
    def is_on(self) -> bool:
        return self.novelty > 0

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        arrays, n_learned = context.serving.scorer.arrays, context.serving.n_learned
        if not n_learned:
            return ranked
        counts = np.zeros(len(ranked.rows))
        is_learned = ranked.rows < n_learned
        counts[is_learned] = arrays.item_counts[ranked.rows[is_learned]]
        most = float(arrays.item_counts[arrays.popular_rows[0]])
        # factor = 1 - novelty min(log(1 + n_i) / log(1 + n_p), 1), where item i has n_i ratings, and the most liked n_p
        known = np.minimum(np.log1p(counts) / np.log1p(max(most, 1.0)), 1.0)
        return weigh(ranked, 1 - self.novelty * known)
