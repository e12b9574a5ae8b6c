"""The items with the highest scores among those that a boost lifts.

Before the boost is applied they may stand far below what the other sources propose, and would never be candidates.
"""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.serving.expressions import Boost, parse_boost
from app.serving.parts import Context, Expression, Part, Source, parsed
from app.serving.rows import Rows


@dataclass(kw_only=True)
class Boosts(Part):
    """The boosts of a placement and of a request, which the source and the rule of that name share."""

    request_options = ("boost",)

    boost: Annotated[
        Expression | None, Field(description="`condition -> factor; ...`: what stands higher or lower")
    ] = None
    _boost: Boost | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._boost = parsed(self.boost, parse_boost, "boost")

    @property
    def is_on(self) -> bool:
        return self.boost is not None

    @property
    def expressions(self) -> tuple[Boost, ...]:
        return () if self._boost is None else (self._boost,)

    @property
    def depends_on_clock(self) -> bool:
        return self._boost is not None and self._boost.looks_at_clock

    def factors(self, context: Context) -> list[NDArray[np.float64]]:
        """The factors (n catalogue rows or more,) of the placement and of the request, those that there are."""
        catalogue, user, now = context.serving.catalogue, context.user.profile, context.now
        factors = []
        if self._boost is not None:  # stored: an attribute that it names may be gone by now, which is no error
            factors.append(self._boost.factors(catalogue, user, is_strict=False, now=now))
        if context.options.boost is not None:
            factors.append(context.options.boost.factors(catalogue, user, now=now))
        return factors


class BoostedSource(Boosts, Source):
    name = "boosted"

    def candidates(self, context: Context) -> Rows:
        # Factors of columns that grew during the request are cut to its rows.
        n_rows = len(context.eligible.mask)
        factors = [each[:n_rows] for each in self.factors(context)]
        return context.best(context.n_pooled, np.prod(factors, axis=0) > 1)
