"""The items with the highest scores for the user: from the index, and those newer than it one by one."""

from app.scoring import NO_HISTORY, Scorer
from app.serving.context import Context
from app.serving.parts import Source
from app.serving.rows import NO_ROWS, Rows


class NearestSource(Source):
    name = "nearest"

    def works_with(self, snapshot: Scorer | None) -> bool:
        return snapshot is not None

    def candidates(self, context: Context) -> Rows:
        """At least `n_pooled` rows while as many are eligible: the mask filters inside the index."""
        snapshot, side, allowed = context.serving.snapshot, context.side, context.eligible.mask
        if snapshot is None or side is None:
            return NO_ROWS
        if len(allowed) > context.serving.n_learned:  # items newer than the index
            return context.best(context.n_pooled)
        # How long a history made the side tells the index how far to look; a side changed by a rule has none.
        n_known = context.user.n_known if side is context.user.side else NO_HISTORY
        return snapshot.candidates(side.vector, context.n_pooled, allowed, n_known)
