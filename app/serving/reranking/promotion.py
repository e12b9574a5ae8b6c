"""Promoted items get a share of the slots, and are marked as promoted."""

from typing import ClassVar

from app.serving.context import Context
from app.serving.query import Ranked
from app.serving.reranking.slots import insert, n_slots


class Promotion:
    name: ClassVar[str] = "promote"

    def is_on(self, context: Context) -> bool:
        return context.rulebook.promote is not None and context.rulebook.placement.promoted_share > 0

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        """Those of them that suit the user best; the others of the list keep their order."""
        if context.rulebook.promote is None:
            return ranked
        n = n_slots(context.rulebook.placement.promoted_share, context.wishes.limit)
        promoted = context.rulebook.promote.mask(context.live.catalogue, context.taste.user, is_strict=False)
        rows = context.best(n, promoted)
        return insert(ranked, rows, "promoted", context)
