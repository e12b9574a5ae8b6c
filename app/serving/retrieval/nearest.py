"""The items whose score for the user is highest: from the index, and of those newer than it, one by one."""

from typing import ClassVar

from app.serving.context import Context
from app.serving.rows import NO_ROWS, Rows
from app.snapshots import NO_HISTORY


class NearestSource:
    name: ClassVar[str] = "nearest"

    def candidates(self, context: Context) -> Rows:
        """Asked with the mask as a filter: never too few. Some more come along, which are ranked with the others."""
        snapshot, vector, allowed = context.serving.snapshot, context.side_vector, context.eligible.mask
        if snapshot is None or vector is None:
            return NO_ROWS
        if len(allowed) > snapshot.n_items:  # items newer than the index
            return context.best(context.n_pooled)
        is_turned = context.side is not context.user.side  # by a rule
        return snapshot.candidates(vector, context.n_pooled, allowed, NO_HISTORY if is_turned else context.user.n_known)
