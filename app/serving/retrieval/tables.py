"""The items that the table of a sparse segment proposes for the user's history: `item_item` or `transitions`."""

from dataclasses import dataclass

from app.scoring import Scorer
from app.serving.parts import Context, Source
from app.serving.rows import NO_ROWS, Rows


@dataclass
class TableSource(Source):
    """`name`: of the source, and of the sparse segment."""

    name: str

    def works_with(self, scorer: Scorer) -> bool:
        return self.name in scorer.tables

    def candidates(self, context: Context) -> Rows:
        """The eligible rows with the highest scores above 0 by the table; none for a user without a history."""
        side = context.side
        if self.name not in side.tables:
            return NO_ROWS
        # The table has the rows of the snapshot alone.
        allowed = context.eligible.mask[: context.serving.n_learned]
        return side.proposals(self.name, context.n_pooled, allowed)
