"""Promoted items get a share of the slots, and are marked as promoted."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from app.serving.candidates import Ranked
from app.serving.expressions import Filter, parse_filter
from app.serving.parts import Context, Expression, OrderRule, Share, parsed
from app.serving.reranking.slots import insert, n_slots


@dataclass(kw_only=True)
class Promotion(OrderRule):
    name = "promote"
    meaning = "Some slots can hold items that you promote. Answers mark these items as promoted."
    inserts = "promoted"

    promote: Annotated[Expression | None, Field(description="Items for which this holds are promoted")] = None
    promoted_share: Annotated[Share, Field(description="Share of the slots for promoted items")] = 0.2
    _promoted: Filter | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._promoted = parsed(self.promote, parse_filter, "promote")

    @property
    def is_on(self) -> bool:
        return self.promote is not None and self.promoted_share > 0

    @property
    def expressions(self) -> tuple[Filter, ...]:
        return () if self._promoted is None else (self._promoted,)

    @property
    def depends_on_clock(self) -> bool:
        return self._promoted is not None and self._promoted.looks_at_clock

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        """Inserts the promoted items with the highest scores; the others keep their order."""
        if self._promoted is None:
            return ranked
        n = n_slots(self.promoted_share, context.options.limit)
        # Not strict: an attribute that a stored expression names may be gone by now.
        mask = self._promoted.mask(context.serving.catalogue, context.user.profile, is_strict=False, now=context.now)
        return insert(ranked, context.best(n, mask), self.inserts, context)
