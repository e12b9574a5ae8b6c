"""What the placement demotes sinks."""

from typing import ClassVar

import numpy as np

from app.serving.context import Context
from app.serving.query import Ranked
from app.serving.reranking.weighing import weigh


class Demotion:
    name: ClassVar[str] = "demote"

    def is_on(self, context: Context) -> bool:
        return context.placement.demote is not None

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        if context.placement.demote is None:
            return ranked
        is_demoted = context.placement.demote.mask(context.serving.catalogue, context.user.profile, is_strict=False)[
            ranked.rows
        ]
        return weigh(ranked, np.where(is_demoted, 1 - context.placement.settings.demotion, 1.0))
