"""Builders of incoming events."""

import numpy as np

from app.entities import IncomingEvents

Row = tuple[str, str, str, str, int] | tuple[str, str, str, str, int, float | None]


def happened(*rows: Row) -> IncomingEvents:
    """(event, type, user, item, microseconds[, portion]) rows, which no recommendation led to."""
    portions = [np.nan if len(row) == 5 or row[5] is None else row[5] for row in rows]
    return IncomingEvents(
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
        np.array([row[4] for row in rows], dtype=np.int64),
        np.array(portions, dtype=np.float64),
        [None] * len(rows),
        [None] * len(rows),
        [None] * len(rows),
    )
