"""Ratings in units of their standard deviation, for learners that descend along gradients.

The step size of gradient descent suits targets of variance 1. One value far from all others would make its own steps so
large that they diverge, and would inflate the standard deviation of the rest. Values are therefore clipped to
`MAX_DEVIATION` standard deviations, with mean and deviation of the clipped values (winsorised moments).
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.algorithms.storage import IN_MEMORY, Storage, spans, total

# Values on a rating scale stay within it unless one end has less than 1 % of them; 0.05 times it, the largest step of
# the default learning rate, is well below 1.
MAX_DEVIATION = 10.0

# Clipping lowers the deviation, which lowers the limit. Of heavy tails it falls for long, so the rounds end at a limit
# that is nearly kept, or after as many as the largest float32 needs.
TOLERANCE, MAX_ROUNDS = 1.01, 100


@dataclass(frozen=True)
class Standardisation:
    """target = clip((value - centre) / scale, -10, 10).

    `centre`, `scale`: in units of the ratings, scale > 0.
    """

    centre: float
    scale: float

    @classmethod
    def of(cls, values: NDArray[np.floating], *, centred: bool = True, storage: Storage = IN_MEMORY) -> Self:
        """Targets have mean 0 and variance 1; not `centred`, centre 0 and mean square 1. `values`: (n,)."""
        n, moments = len(values), cls(0.0, 1.0)
        if not n:
            return moments
        # The ranges that the values were clipped to so far, one after the other: their common part.
        low, high = -np.inf, np.inf

        def clipped(span: slice) -> NDArray[np.float64]:
            # float32 sums over millions of ratings would lose the last digits.
            return values[span].astype(np.float64).clip(low, high)

        def squares(span: slice, centre: float) -> NDArray[np.float64]:
            return (clipped(span) - centre) ** 2

        for _ in range(MAX_ROUNDS):
            centre = total(n, clipped, storage) / n if centred else 0.0
            # scale^2 = mean (value - centre)^2; where all ratings are equal, there is nothing to scale.
            variance = total(n, partial(squares, centre=centre), storage) / n
            moments = cls(centre, math.sqrt(variance) or 1.0)
            limit = MAX_DEVIATION * moments.scale
            furthest = max(float(np.abs(clipped(span) - centre).max()) for span in spans(n, storage))
            if furthest <= TOLERANCE * limit:
                break
            low, high = max(low, centre - limit), min(high, centre + limit)
        return moments

    def targets(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) float32 of ratings (n,)."""
        targets: NDArray[np.float32] = (values - np.float32(self.centre)) / np.float32(self.scale)
        return targets.clip(-MAX_DEVIATION, MAX_DEVIATION)
