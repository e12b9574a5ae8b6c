"""Promoted items get a share of the slots, and are marked as promoted."""

from typing import ClassVar

from app.serving.context import Context
from app.serving.query import Ranked
from app.serving.reranking.slots import insert, n_slots


class Promotion:
    name: ClassVar[str] = "promote"

    def is_on(self, context: Context) -> bool:
        return context.placement.promote is not None and context.placement.settings.promoted_share > 0

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        """Those of them that suit the user best; the others of the list keep their order."""
        if context.placement.promote is None:
            return ranked
        n = n_slots(context.placement.settings.promoted_share, context.options.limit)
        promoted = context.placement.promote.mask(context.serving.catalogue, context.user.profile, is_strict=False)
        rows = context.best(n, promoted)
        return insert(ranked, rows, "promoted", context)
