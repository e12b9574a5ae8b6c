"""How a rule places items by hand: in evenly spread slots, and never below where an item would stand anyway."""

import numpy as np

from app.serving.candidates import Ranked
from app.serving.parts import Context
from app.serving.ranking import scored
from app.serving.rows import Rows


def n_slots(share: float, limit: int) -> int:
    """How many of `limit` slots a share is; at least one."""
    return max(int(share * limit), 1)


def slot(place: int, n: int, limit: int) -> int:
    """The slot of item number `place` of `n` in a list of `limit`, both from 0: the middle of its part of the list."""
    return int((place + 0.5) * limit / n)


def insert(ranked: Ranked, rows: Rows, proposer: str, context: Context) -> Ranked:
    """`ranked` with `rows` in evenly spread slots of the requested list, marked as of `proposer`.

    A row that stands higher by itself keeps its place.
    """
    if not len(rows):
        return ranked
    natural = {row: place for place, row in enumerate(ranked.rows.tolist())}
    missing = np.array([row for row in rows.tolist() if row not in natural], dtype=np.int64)
    pool = ranked.followed_by(scored(missing, 0, context))
    place_of = {row: place for place, row in enumerate(pool.rows.tolist())}
    limit = context.options.limit
    # Each item with the slot it should have; of two with the same slot, the first of `rows` comes first.
    wanted = sorted(
        (min(natural.get(row, limit), slot(n, len(rows), limit)), n, place_of[row])
        for n, row in enumerate(rows.tolist())
    )
    inserted = {place for _, _, place in wanted}
    others = iter([place for place in range(len(pool.rows)) if place not in inserted])
    # Fill the list from the top: the others in their order, until the slot of the next inserted item is reached.
    order: list[int] = []
    for target, _, place in wanted:
        while len(order) < target and (other := next(others, None)) is not None:
            order.append(other)
        order.append(place)
    order += others
    placed = pool.take(np.array(order, np.intp))
    placed.proposed_by[np.isin(placed.rows, rows)] |= context.bits[proposer]
    return placed
