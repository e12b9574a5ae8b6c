"""What few know rises: how little is said by the number of ratings."""

from typing import ClassVar

import numpy as np

from app.serving.context import Context
from app.serving.query import Ranked
from app.serving.reranking.weighing import weigh


class Novelty:
    name: ClassVar[str] = "novelty"

    def is_on(self, context: Context) -> bool:
        return context.placement.settings.novelty > 0 and context.serving.snapshot is not None

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        """Factor = 1 - novelty log(1 + n_i) / log(1 + max n), n_i ratings of the item."""
        snapshot = context.serving.snapshot
        if snapshot is None or not snapshot.n_items:
            return ranked
        counts = np.zeros(len(ranked.rows))
        is_learned = ranked.rows < snapshot.n_items
        counts[is_learned] = snapshot.item_counts[ranked.rows[is_learned]]
        most = float(snapshot.item_counts[snapshot.popular_rows[0]])
        known = np.log1p(counts) / np.log1p(max(most, 1.0))
        return weigh(ranked, 1 - context.placement.settings.novelty * known)
