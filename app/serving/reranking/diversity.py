"""Diversity: an item that is like those above it sinks (maximal marginal relevance).

J. Carbonell, J. Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
Summaries" (1998).
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.serving.candidates import Ranked
from app.serving.parts import Context, OrderRule, Share


@dataclass(kw_only=True)
class Diversity(OrderRule):
    name = "diversity"
    meaning = "Items that resemble those above them can be lowered (maximal marginal relevance)."
    needs_snapshot = True

    diversity: Annotated[Share, Field(description="How much an item like those above it sinks (MMR)")] = 0.0

    @property
    def is_on(self) -> bool:
        return self.diversity > 0

    def microseconds(self, n_rows: int, limit: int) -> float:
        # Each place compares all candidates, of which there are some times as many as places.
        return super().microseconds(n_rows, limit) + 0.3 * limit**2

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        """Fills the first `limit` places; relevance runs from 0 to 1, likeness is the cosine of item vectors."""
        n = min(context.options.limit, len(ranked.rows))
        if not n:
            return ranked
        directions = context.serving.scorer.directions(context.serving.vectors_of(ranked.rows))
        relevance = ranked.standings - ranked.standings.min()
        relevance /= relevance.max() or 1.0  # equal standings are equally relevant
        placed = chosen_places(relevance, directions, self.diversity, n)
        rest = np.setdiff1d(np.arange(len(ranked.rows)), placed)
        return ranked.take(np.append(placed, rest))


def chosen_places(
    relevance: NDArray[np.float64], directions: NDArray[np.float32], diversity: float, n: int
) -> NDArray[np.intp]:
    """(n,) places of m candidates as MMR chooses them. `relevance`: (m,); `directions`: (m, k), of length 1."""
    chosen = np.empty(n, np.intp)
    closest = np.zeros(len(relevance))
    marginal = (1 - diversity) * relevance
    for place in range(n):
        # argmax over the remaining of (1 - diversity) relevance - diversity max over the placed of likeness
        best = int(np.argmax(marginal - diversity * closest))
        chosen[place] = best
        marginal[best] = -np.inf  # placed
        np.maximum(closest, directions @ directions[best], out=closest)
    return chosen
