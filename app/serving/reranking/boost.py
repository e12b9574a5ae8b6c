"""The boosts of the placement and of the request lift some items and lower others."""

from app.serving.candidates import Ranked
from app.serving.parts import Context, OrderRule
from app.serving.reranking.weighing import weigh
from app.serving.retrieval.boosted import Boosts


class Boosting(Boosts, OrderRule):
    name = "boost"
    meaning = "Factors above 1 raise the items for which a condition holds, and factors below 1 lower them."

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        # One after the other: the boost of the request weighs what that of the placement has weighed.
        for factors in self.factors(context):
            ranked = weigh(ranked, factors[ranked.rows])
        return ranked
