"""What the placement demotes sinks."""

from typing import ClassVar

import numpy as np

from app.serving.context import Context
from app.serving.query import Ranked
from app.serving.reranking.weighing import weigh


class Demotion:
    name: ClassVar[str] = "demote"

    def is_on(self, context: Context) -> bool:
        return context.rulebook.demote is not None

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        if context.rulebook.demote is None:
            return ranked
        is_demoted = context.rulebook.demote.mask(context.live.catalogue, context.taste.user, is_strict=False)[
            ranked.rows
        ]
        return weigh(ranked, np.where(is_demoted, 1 - context.rulebook.placement.demotion, 1.0))
