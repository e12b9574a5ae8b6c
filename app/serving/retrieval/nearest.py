"""The items with the highest scores for the user: from the index, and those newer than it one by one."""

from app.scoring import NO_HISTORY
from app.serving.parts import Context, Source
from app.serving.rows import Rows


class NearestSource(Source):
    name = "nearest"
    needs_snapshot = True

    def candidates(self, context: Context) -> Rows:
        """At least `n_pooled` rows while as many are eligible: the mask filters inside the index."""
        side, allowed = context.side, context.eligible.mask
        if len(allowed) > context.serving.n_learned:  # items newer than the index
            return context.best(context.n_pooled)
        # How long a history made the side tells the index how far to look; a side changed by a rule has none.
        n_known = context.user.n_known if side is context.user.side else NO_HISTORY
        return context.serving.scorer.index.candidates(side.vector, context.n_pooled, allowed, n_known)
