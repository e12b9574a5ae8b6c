"""Diversity: an item that is like those above it sinks (maximal marginal relevance).

J. Carbonell, J. Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
Summaries" (1998).
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.serving.context import Context
from app.serving.query import Ranked
from app.serving.ranking import vectors_of


class Diversity:
    name: ClassVar[str] = "diversity"

    def is_on(self, context: Context) -> bool:
        return context.placement.settings.diversity > 0 and context.serving.snapshot is not None

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        """The first `limit` places go, one after the other, to

            argmax over what is left of (1 - diversity) relevance - diversity max over those placed of likeness

        relevance from 0 to 1 over the candidates, likeness the cosine of what they are chosen by.
        """
        snapshot, n = context.serving.snapshot, min(context.options.limit, len(ranked.rows))
        if snapshot is None or not n:
            return ranked
        likeness = snapshot.directions(vectors_of(ranked.rows, context.serving))
        relevance = ranked.standings - ranked.standings.min()
        relevance /= relevance.max() or 1.0
        placed = chosen_places(relevance, likeness, context.placement.settings.diversity, n)
        rest = np.setdiff1d(np.arange(len(ranked.rows)), placed)
        return ranked.take(np.append(placed, rest))


def chosen_places(
    relevance: NDArray[np.float64], directions: NDArray[np.float32], diversity: float, n: int
) -> NDArray[np.intp]:
    """(n,) places of m candidates, `relevance` (m,) and `directions` (m, k) of length 1, as MMR chooses them."""
    chosen = np.empty(n, np.intp)
    closest = np.zeros(len(relevance))
    marginal = (1 - diversity) * relevance
    for place in range(n):
        best = int(np.argmax(marginal - diversity * closest))
        chosen[place] = best
        marginal[best] = -np.inf
        np.maximum(closest, directions @ directions[best], out=closest)
    return chosen
