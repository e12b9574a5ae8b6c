"""What the neighbours of the rated items speak for, by a table that the snapshot has: `knn` or `ease`."""

from app.serving.context import Context
from app.serving.rows import NO_ROWS, Rows

N_SHOWN = 50


class NeighboursSource:
    def __init__(self, table: str) -> None:
        self.name = table

    def candidates(self, context: Context) -> Rows:
        snapshot = context.serving.snapshot
        if snapshot is None or self.name not in snapshot.tables:
            return NO_ROWS
        rows, values = context.user.rated_rows, context.user.values
        is_learned = rows < snapshot.n_items
        if not is_learned.any():
            return NO_ROWS
        allowed = context.eligible.mask[: snapshot.n_items]
        found, _ = snapshot.neighbours(self.name, rows[is_learned], N_SHOWN, values[is_learned], allowed)
        return found
