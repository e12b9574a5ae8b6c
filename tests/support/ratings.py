"""Builders of incoming ratings and of small rating data with a known structure."""

import numpy as np

from app.entities import UNKNOWN_TIME, IncomingRatings

Row = tuple[str, str, float] | tuple[str, str, float, int | None]


def incoming(*rows: Row) -> IncomingRatings:
    """(user, item, value[, microseconds]) rows; without a time, or with None, it is unknown."""
    times = [UNKNOWN_TIME if len(row) == 3 or row[3] is None else row[3] for row in rows]
    return IncomingRatings(
        [row[0] for row in rows],
        [row[1] for row in rows],
        np.array([row[2] for row in rows], dtype=np.float64),
        np.array(times, dtype=np.int64),
    )
