"""The items most similar to each of those liked last: looked up, since neighbours are stored with the snapshot."""

from typing import ClassVar

import numpy as np

from app.serving.context import Context
from app.serving.rows import NO_ROWS, Rows

N_LIKED, N_EACH = 10, 10


class SimilarSource:
    name: ClassVar[str] = "similar"

    def candidates(self, context: Context) -> Rows:
        """None in a catalogue whose neighbours are not stored: ten scans would cost more than all else together."""
        snapshot = context.serving.snapshot
        if snapshot is None or not len(snapshot.similar_rows):
            return NO_ROWS
        liked = context.user.liked_rows(snapshot.liked_from)
        liked = liked[liked < snapshot.n_items][:N_LIKED]
        if not len(liked):
            return NO_ROWS
        # By rank, then by how lately its origin was liked; row -1 where an item has fewer neighbours.
        rows = snapshot.similar_rows.take(liked, axis=0)[:, :N_EACH].T.ravel().astype(np.int64)
        return rows[context.eligible.has(rows)]
