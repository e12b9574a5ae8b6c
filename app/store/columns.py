"""Arrays that pass between the tables' files and the dialects."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KeyArray = NDArray[np.int64]
ValueArray = NDArray[np.float64]
TimeArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EventTypeColumns:
    """What one event of each type says of the user's taste, see `EventType`; equal lengths t.

    `type_key`: (t,) int64. `weight`: (t,) float64. `is_exposure`: (t,) bool.
    """

    type_key: KeyArray
    weight: ValueArray
    is_exposure: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ExistingRatings:
    """What is stored for given (user, item) pairs; equal lengths n.

    `is_found` (n,) bool. `value` (n,) float64: NaN for a tombstone. `rated_at` (n,) int64 microseconds UTC,
    `UNKNOWN_TIME` where not known. Both mean nothing where not found.
    """

    is_found: NDArray[np.bool_]
    value: ValueArray
    rated_at: TimeArray
