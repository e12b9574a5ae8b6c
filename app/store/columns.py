"""Arrays that pass between the tables' files and the dialects."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KeyArray = NDArray[np.int64]
ValueArray = NDArray[np.float64]
TimeArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ExistingRatings:
    """What is stored for given (user, item) pairs; equal lengths n.

    `is_found` (n,) bool. `value` (n,) float64: NaN for a tombstone. `rated_at` (n,) int64 microseconds UTC,
    `UNKNOWN_TIME` where not known. Both mean nothing where not found.
    """

    is_found: NDArray[np.bool_]
    value: ValueArray
    rated_at: TimeArray
