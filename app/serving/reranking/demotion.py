"""What the placement demotes sinks."""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from pydantic import Field

from app.serving.candidates import Ranked
from app.serving.expressions import Filter, parse_filter
from app.serving.parts import Context, Expression, OrderRule, Share, parsed
from app.serving.reranking.weighing import weigh


@dataclass(kw_only=True)
class Demotion(OrderRule):
    name = "demote"
    meaning = "Items for which an expression holds can be lowered without being left out."

    demote: Annotated[Expression | None, Field(description="Items for which this holds sink")] = None
    demotion: Annotated[Share, Field(description="How far they sink")] = 0.5
    _demoted: Filter | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._demoted = parsed(self.demote, parse_filter, "demote")

    @property
    def is_on(self) -> bool:
        return self.demote is not None

    @property
    def expressions(self) -> tuple[Filter, ...]:
        return () if self._demoted is None else (self._demoted,)

    @property
    def depends_on_clock(self) -> bool:
        return self._demoted is not None and self._demoted.looks_at_clock

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        if self._demoted is None:
            return ranked
        # Not strict: an attribute that a stored expression names may be gone by now.
        mask = self._demoted.mask(context.serving.catalogue, context.user.profile, is_strict=False, now=context.now)
        # factor = 1 - demotion where the expression holds, else 1
        return weigh(ranked, np.where(mask[ranked.rows], 1 - self.demotion, 1.0))
