"""The best of what a boost lifts: it may stand far below what is nearest before it is lifted."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.serving.context import Context
from app.serving.rows import NO_ROWS, Rows


class BoostedSource:
    name: ClassVar[str] = "boosted"

    def candidates(self, context: Context) -> Rows:
        n_rows = len(context.eligible.mask)
        factors = [each[:n_rows] for each in boosts(context)]
        return context.best(context.n_pooled, np.prod(factors, axis=0) > 1) if factors else NO_ROWS


def boosts(context: Context) -> Iterator[NDArray[np.float64]]:
    """The factors, by row, of the placement and of the request; what a stored one names may be gone."""
    catalogue, user = context.serving.catalogue, context.user.profile
    if context.placement.boost is not None:
        yield context.placement.boost.factors(catalogue, user, is_strict=False)
    if context.options.boost is not None:
        yield context.options.boost.factors(catalogue, user)
