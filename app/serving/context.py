"""Everything that one answer is made from."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue import Mask
from app.serving.eligible import Eligible
from app.serving.placement_config import CompiledPlacement
from app.serving.query import ListOptions, Query
from app.serving.rows import NO_ROWS, Rows
from app.serving.serving_state import ServingState
from app.serving.user_state import UserState
from app.snapshots import UserSide


@dataclass(slots=True)
class Context:
    """One request, while it is answered. `now`: microseconds UTC. `side`: what ranks.

    `n_pooled`: how many candidates the rules choose from, at least as many as are asked for.

    `side` is the taste's own unless a rule turned it; None before anything is learned. `due_rows`: what is
    due to be consumed again, the most overdue first; filled by the restrictions.
    """

    query: Query
    placement: CompiledPlacement
    user: UserState
    serving: ServingState
    eligible: Eligible
    now: int
    n_pooled: int = field(init=False)
    side: UserSide | None = field(init=False)
    due_rows: Rows = field(default_factory=lambda: NO_ROWS)

    def __post_init__(self) -> None:
        self.side = self.user.side
        self.n_pooled = self.query.options.limit

    @property
    def side_vector(self) -> NDArray[np.float32] | None:
        return None if self.side is None else self.side.vector

    @property
    def options(self) -> ListOptions:
        return self.query.options

    def best(self, n: int, mask: Mask | None = None) -> Rows:
        """Up to `n` eligible rows with the highest scores, best first; only those in `mask`, where one is given.

        From the index, and of items newer than it one by one; by popularity before anything is learned.
        """
        allowed = self.eligible.mask if mask is None else self.eligible.mask & mask[: len(self.eligible.mask)]
        snapshot = self.serving.snapshot
        if snapshot is None or self.side_vector is None:
            rows = self.serving.popular_rows
            newer = np.arange(len(rows), len(allowed))
            return np.append(rows, newer)[allowed[np.append(rows, newer)]][:n]
        rows, scores = snapshot.nearest(self.side_vector, n, allowed[: snapshot.n_items])
        newer = np.flatnonzero(allowed[snapshot.n_items :]) + snapshot.n_items
        if not len(newer):
            return rows
        rows = np.append(rows, newer)
        scores = np.append(scores, self.serving.newer_vectors(newer) @ self.side_vector)
        return rows[np.argsort(-scores, kind="stable")[:n]]
