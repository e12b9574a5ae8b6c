"""The items whose score for the user is highest: from the index, and of those newer than it, one by one."""

from typing import ClassVar

from app.serving.context import Context
from app.serving.rows import NO_ROWS, Rows


class Nearest:
    name: ClassVar[str] = "nearest"

    def candidates(self, context: Context) -> Rows:
        """Asked with the mask as a filter: as fast as asking for more and dropping some, and never too few."""
        return NO_ROWS if context.side_vector is None else context.best(context.n_pooled)
