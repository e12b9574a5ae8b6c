"""What boosts of the placement and of the request lift or sink."""

from typing import ClassVar

from app.serving.context import Context
from app.serving.query import Ranked
from app.serving.reranking.weighing import weigh
from app.serving.retrieval.boosted import boosts


class Boosting:
    name: ClassVar[str] = "boost"

    def is_on(self, context: Context) -> bool:
        return context.placement.boost is not None or context.options.boost is not None

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        for factors in boosts(context):
            ranked = weigh(ranked, factors[ranked.rows])
        return ranked
