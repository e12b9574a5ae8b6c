"""What was just shown sinks, so that a list looked at again is another; it comes back as the showing is forgotten."""

from typing import ClassVar

import numpy as np

from app.serving.context import Context
from app.serving.query import Ranked
from app.serving.reranking.weighing import weigh

MICROSECONDS_AN_HOUR = 3_600_000_000


class Rotation:
    name: ClassVar[str] = "rotation"

    def is_on(self, context: Context) -> bool:
        interactions = context.user.interactions
        return context.placement.settings.rotation > 0 and interactions is not None and len(interactions.shown.rows) > 0

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        """Factor = 1 - rotation (1 - 2^-times shown) 2^(-time since / half life)."""
        placement, interactions = context.placement.settings, context.user.interactions
        if interactions is None:
            return ranked
        shown = interactions.shown
        places = np.searchsorted(shown.rows, ranked.rows).clip(max=len(shown.rows) - 1)
        was_shown = shown.rows[places] == ranked.rows
        hours = np.maximum(context.now - shown.last_at[places], 0) / MICROSECONDS_AN_HOUR
        weariness = (1 - 0.5 ** shown.counts[places]) * 0.5 ** (hours / placement.rotation_half_life_hours)
        return weigh(ranked, 1 - placement.rotation * np.where(was_shown, weariness, 0.0))
