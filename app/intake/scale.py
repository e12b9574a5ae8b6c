"""Detects the rating scale of a file from its values."""

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
"""The scales in common use, narrow before wide, because `detect_scale` takes the first that fits."""

_WIDE_SCALES = KNOWN_SCALES[-2:]


def detect_scale(batches: Iterable[NDArray[np.float64]]) -> RatingScale | None:
    """Return the first of `KNOWN_SCALES` that contains all ratings, or else the range of the ratings.

    `batches`: arrays of finite rating values, each of any length.

    Returns None where there are no ratings.
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
    largest = max(-lowest, highest)
    is_signed = lowest < 0
    # A wide scale needs ratings of at least half its maximum, and only the signed one is taken for negative ratings:
    # on the scale 0:100, ratings from 0 to 10 would all count as disliked.
    fitting = [
        scale
        for scale in possible
        if scale not in _WIDE_SCALES or (largest >= scale.maximum / 2 and is_signed == (scale.minimum < 0))
    ]
    return fitting[0] if fitting else _range_as_scale(lowest, highest)


def _range_as_scale(lowest: float, highest: float) -> RatingScale:
    if lowest < highest:
        return RatingScale(lowest, highest)
    # A single distinct value gives only one end of the scale; zero serves as the other.
    return RatingScale(min(0.0, lowest), max(0.0, highest))
