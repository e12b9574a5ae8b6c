"""The items that a table of item neighbours proposes for the rated items: `knn` or `ease`."""

from dataclasses import dataclass

from app.scoring import Scorer
from app.serving.parts import Context, Source
from app.serving.rows import NO_ROWS, Rows

N_PROPOSED = 50


@dataclass
class NeighboursSource(Source):
    """`name`: of the source, and of the table that the snapshot holds."""

    name: str

    def works_with(self, scorer: Scorer) -> bool:
        return self.name in scorer.tables

    def candidates(self, context: Context) -> Rows:
        scorer, n_learned = context.serving.scorer, context.serving.n_learned
        rows, values = context.user.rated_rows, context.user.values
        is_learned = rows < n_learned
        if not is_learned.any():
            return NO_ROWS
        # The table has the rows of the snapshot alone.
        allowed = context.eligible.mask[:n_learned]
        rows, _ = scorer.neighbours(self.name, rows[is_learned], N_PROPOSED, values[is_learned], allowed)
        return rows
