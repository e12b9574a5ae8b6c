"""What was just shown sinks, so that a list loaded again is another; it returns as the showing is forgotten."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from app.serving.candidates import Ranked
from app.serving.parts import Context, Duration, OrderRule, Share
from app.serving.reranking.weighing import weigh

MICROSECONDS_AN_HOUR = 3_600_000_000


@dataclass(kw_only=True)
class Rotation(OrderRule):
    """On by default; applies to users with shown items."""

    name = "rotation"
    meaning = "Items that were shown recently are lowered, so that a list that is loaded again has other items."
    needs_events = True
    depends_on_clock = True

    rotation: Annotated[Share, Field(description="How far an item that was just shown sinks")] = 0.5
    rotation_half_life_hours: Annotated[Duration, Field(description="After this, half of it is forgotten")] = 12.0

    @property
    def is_on(self) -> bool:
        return self.rotation > 0

    def applies(self, context: Context) -> bool:
        interactions = context.user.interactions
        return interactions is not None and len(interactions.shown.rows) > 0

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        if context.user.interactions is None:
            return ranked
        shown = context.user.interactions.shown
        # `shown.rows` ascend; a row that is not among them finds the place of another.
        places = np.searchsorted(shown.rows, ranked.rows).clip(max=len(shown.rows) - 1)
        was_shown = shown.rows[places] == ranked.rows
        hours = np.maximum(context.now - shown.last_at[places], 0) / MICROSECONDS_AN_HOUR
        # factor = 1 - rotation (1 - 2^-times shown) 2^(-time since / half life)
        weariness = (1 - 0.5 ** shown.counts[places]) * 0.5 ** (hours / self.rotation_half_life_hours)
        return weigh(ranked, 1 - self.rotation * np.where(was_shown, weariness, 0.0))
