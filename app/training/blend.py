"""How much each segment counts: weights learned on held-out ratings inside the training part.

Scores are standardised per user, so weights compare segments whatever their units. Only their ratios matter: the
taste has weight 1 (where there is none, the prior), and the others are found by coordinate ascent on nDCG@10 over a
grid. The curve is flat at its top and chance decides which point of it is highest, so a weight is judged by the mean of
itself and its neighbours on the grid.

A segment that does not help gets weight 0 and is left out; the rating and the prior keep `LEAST_WEIGHT`.
"""

import numpy as np
from numpy.typing import NDArray

from app.snapshots.sides import LEAST_WEIGHT
from app.training.learned import Learned
from app.training.recipe import ENGAGEMENT, PRIOR, RATING, REQUIRED, TASTE, TOWERS
from app.training.shortlist import Shortlist
from app.training.sides import Weights, join
from app.training.validation_split import ValidationSplit

GRID = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.2, 3.3)
ROUNDS = 3

UNLEARNED = {RATING: 0.1, TASTE: 0.5, TOWERS: 0.1, ENGAGEMENT: 0.1, PRIOR: 1.0}
"""Where the ratings are too few to learn weights: close to a list of bestsellers."""


def unlearned_weights(names: list[str]) -> Weights:
    return {name: UNLEARNED[name] for name in names}


def learn_weights(learned: Learned, inner: ValidationSplit) -> Weights:
    """Segment name -> weight, by nDCG@10 on `inner`, from whose training part `learned` comes."""
    names = [segment.recipe.name for segment in learned.segments]
    shortlist = Shortlist.draw(join(learned, dict.fromkeys(names, 1.0)), inner)
    found = [_ascend(shortlist, names, fixed) for fixed in (TASTE, PRIOR) if fixed in names]
    _, weights = max(found, key=lambda each: each[0])
    return {name: max(weight, LEAST_WEIGHT if name in REQUIRED else 0.0) for name, weight in weights.items()}


def _ascend(shortlist: Shortlist, names: list[str], fixed: str) -> tuple[float, dict[str, float]]:
    """The best weights beside weight 1 of `fixed`, and their smoothed nDCG. Without taste, where another is fixed."""
    weights = dict.fromkeys(names, 0.0) | {fixed: 1.0}
    free = [name for name in names if name not in {fixed, TASTE}]
    best = shortlist.ndcg(np.array([*weights.values()]))
    for _ in range(ROUNDS):
        before = dict(weights)
        for name in free:
            tried = [shortlist.ndcg(np.array([*(weights | {name: weight}).values()])) for weight in GRID]
            smooth = _smoothed(np.array(tried))
            weights[name], best = GRID[int(smooth.argmax())], float(smooth.max())
        if weights == before:
            break
    return best, weights


def _smoothed(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each point with its neighbours, by 1 : 2 : 1; the ends have themselves beside them."""
    padded = np.pad(curve, 1, mode="edge")
    smooth: NDArray[np.float64] = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return smooth
