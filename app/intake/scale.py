"""Which rating scale a file is on."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from app.entities import RatingScale

KNOWN_SCALES = (
    RatingScale(0, 1),
    RatingScale(1, 5, 1),
    RatingScale(0.5, 5, 0.5),
    RatingScale(1, 10, 1),
    RatingScale(0, 100),
    RatingScale(-10, 10),
)
_WIDE = KNOWN_SCALES[-2:]


def detect_scale(batches: Iterable[NDArray[np.float64]]) -> RatingScale | None:
    """The first of `KNOWN_SCALES` that holds all ratings, else their own range; None where there are none.

    `batches`: arrays of any length, finite. The two wide scales are taken only for ratings that reach half of their
    ends, the signed one only for signed ratings: on 0:100, ratings of 0 to 10 would all count as disliked.
    """
    possible = list(KNOWN_SCALES)
    lowest, highest = np.inf, -np.inf
    for values in batches:
        if not len(values):
            continue
        lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
        possible = [scale for scale in possible if scale.contains(values).all()]
    if highest < lowest:
        return None
    reach = max(-lowest, highest)
    is_signed = lowest < 0
    fitting = [
        scale
        for scale in possible
        if scale not in _WIDE or (reach >= scale.maximum / 2 and is_signed == (scale.minimum < 0))
    ]
    return fitting[0] if fitting else _own_range(lowest, highest)


def _own_range(lowest: float, highest: float) -> RatingScale:
    if lowest < highest:
        return RatingScale(lowest, highest)
    return RatingScale(min(0.0, lowest), max(0.0, highest))  # one value tells one end
