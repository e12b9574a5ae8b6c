"""How much each segment counts: weights learned on held-out ratings inside the training part.

Scores are standardised per user, so weights compare segments whatever their units. Only their ratios matter: one
segment, the anchor, has weight 1, and the others are found by coordinate ascent on nDCG@10 over a grid. The curve is
flat at its top and chance decides which point of it is highest, so a weight is judged by the mean of itself and its
neighbours on the grid.

A segment that does not help gets weight 0 and is left out; required segments keep `LEAST_WEIGHT`.
"""

import numpy as np
from numpy.typing import NDArray

from app.segments.base import LEAST_WEIGHT
from app.segments.registry import SEGMENTS
from app.training.learned import Learned
from app.training.shortlist import Shortlist
from app.training.sides import Weights, join
from app.training.validation_split import ValidationSplit

GRID = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.2, 3.3)
ROUNDS = 3


def unlearned_weights(names: list[str]) -> Weights:
    """Where there are too few ratings to learn weights from: close to a list of bestsellers."""
    return {name: SEGMENTS[name].starting_weight for name in names}


def learn_weights(learned: Learned, inner: ValidationSplit) -> Weights:
    """Segment name -> weight, by nDCG@10 on `inner`, from whose training part `learned` comes."""
    names = [segment.recipe.name for segment in learned.segments]
    shortlist = Shortlist.draw(join(learned, dict.fromkeys(names, 1.0)), inner)
    anchors = [name for name in names if SEGMENTS[name].anchors_weights]
    # With the second anchor fixed, the first has weight 0: all ratios beside it were tried while it was fixed itself.
    ascents = [_ascend(shortlist, names, anchor, absent=anchors[:place]) for place, anchor in enumerate(anchors)]
    _, weights = max(ascents, key=lambda each: each[0])
    return {name: max(weight, LEAST_WEIGHT if SEGMENTS[name].is_required else 0.0) for name, weight in weights.items()}


def _ascend(shortlist: Shortlist, names: list[str], anchor: str, absent: list[str]) -> tuple[float, dict[str, float]]:
    """The smoothed nDCG of the best weights beside weight 1 of `anchor` and 0 of `absent`, and these weights."""
    weights = dict.fromkeys(names, 0.0) | {anchor: 1.0}
    free = [name for name in names if name != anchor and name not in absent]
    # The shortlist holds the scores of each segment, so a new weight costs one weighted sum.
    best = shortlist.ndcg(np.array([*weights.values()]))
    for _ in range(ROUNDS):
        before = dict(weights)
        for name in free:
            tried = [shortlist.ndcg(np.array([*(weights | {name: weight}).values()])) for weight in GRID]
            # Judged with its neighbours: a single high point is chance.
            smooth = _smoothed(np.array(tried))
            weights[name], best = GRID[int(smooth.argmax())], float(smooth.max())
        if weights == before:
            break
    return best, weights


def _smoothed(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """(g,) each point averaged with its neighbours, 1 : 2 : 1; the ends are repeated."""
    padded = np.pad(curve, 1, mode="edge")
    smooth: NDArray[np.float64] = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return smooth
