"""Everything that one answer is made from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.scoring import UserSide
from app.serving.candidates import Bits, Eligible, Trace
from app.serving.catalogue import Mask
from app.serving.parts import OrderRule, Plan
from app.serving.query import ListOptions, Query
from app.serving.rows import Rows
from app.serving.serving_state import ServingState
from app.serving.user_state import UserState


@dataclass(slots=True)
class Context:
    """One request while it is answered; the parts of the pipeline read it, and some write what they find out.

    `options`: those of the query. `plan`: the parts that are on. `now`: microseconds UTC, the only clock of the
    request. `bits`: what marks candidates with their proposers. `side`: what ranks, the user's own unless a restriction
    or a caller changed it. `trace`: observes the run, None where nothing reads it afterwards.

    `due_rows`: what is due to be consumed again, the most overdue first. `rules`: those that apply to this user, known
    once the restrictions have acted. `n_pooled`: candidates of each source, at least as many as are requested.
    """

    query: Query
    options: ListOptions
    plan: Plan
    user: UserState
    serving: ServingState
    eligible: Eligible
    now: int
    bits: Bits
    side: UserSide
    due_rows: Rows
    trace: Trace | None = None
    rules: Sequence[OrderRule] = ()
    n_pooled: int = 0

    def best(self, n: int, mask: Mask | None = None) -> Rows:
        """Up to `n` eligible rows with the highest scores, best first; only those in `mask`, where one is given.

        The index finds the items of the scorer, and items newer than it are scored one by one.
        """
        # A mask may have more rows than the request: items that arrived since it began.
        allowed = self.eligible.mask if mask is None else self.eligible.mask & mask[: len(self.eligible.mask)]
        vector, n_indexed = self.side.vector, self.serving.scorer.n_items
        rows, scores = self.serving.scorer.index.nearest(vector, n, allowed[:n_indexed])
        # The index does not hold items newer than the scorer; they are few, and scored one by one.
        newer = np.flatnonzero(allowed[n_indexed:]) + n_indexed
        if not len(newer):
            return rows
        rows = np.append(rows, newer)
        scores = np.append(scores, self.serving.newer_vectors(newer) @ vector)
        return rows[np.argsort(-scores, kind="stable")[:n]]
