"""What a guest did in this session, as the interactions that a stored user with the same events would have."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.serving.catalogue import Catalogue
from app.serving.interactions import EventTypeIndex, UserInteractions
from app.store.serving_reads import Interactions


@dataclass(frozen=True, slots=True)
class GuestEvent:
    """An event that is used for one answer and not stored.

    `type_key`: of a declared type, or `VIEWED`. `at`: microseconds UTC. `portion`: 0 to 1, None for all of the item.
    """

    type_key: int
    item_id: str
    at: int
    portion: float | None = None


def interactions_of(
    events: Sequence[GuestEvent], event_types: EventTypeIndex, catalogue: Catalogue
) -> UserInteractions | None:
    """The sums of the events by item and type, as the store keeps them; None without events of known items."""
    located = [(row, event) for event in events if (row := catalogue.row_of_id(event.item_id)) is not None]
    if not located:
        return None
    rows = np.array([row for row, _ in located], np.int64)
    types = np.array([event.type_key for _, event in located], np.int64)
    at = np.array([event.at for _, event in located], np.int64)
    portion = np.array([event.portion for _, event in located], np.float64)  # None becomes NaN
    order = np.lexsort((types, rows))
    rows, types, at, portion = rows[order], types[order], at[order], portion[order]
    # Events of one item and type are neighbours now; `starts` are the first ones.
    starts = np.flatnonzero(np.append(True, (np.diff(rows) != 0) | (np.diff(types) != 0)))
    summed = Interactions(
        item_key=catalogue.keys[rows[starts]],
        type_key=types[starts],
        count=np.diff(starts, append=len(rows)),
        first_at=np.minimum.reduceat(at, starts),
        last_at=np.maximum.reduceat(at, starts),
        portion=np.maximum.reduceat(portion, starts),  # `maximum` keeps NaN, the whole
    )
    return UserInteractions(summed, rows[starts], event_types)
