"""How much each segment counts: weights learned on held-out ratings inside the training part.

    score(u, i) = sum_s w_s z_s(u, i)     z_s: the score of segment s, divided by its standard deviation for the user

Standardised scores make weights comparable whatever the units of the segments. Only the ratios of weights matter: one
segment, the anchor, has weight 1, and the others are found by coordinate ascent on nDCG@10 over a grid. nDCG is a step
function of the weights without a useful gradient, and one segment at a time keeps the number of trials linear in the
number of segments.

Weights that are as good as the best, within the error of the comparison, are averaged with it.

A segment that does not help gets weight 0 and is left out; required segments keep `LEAST_WEIGHT`.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.segments.base import LEAST_WEIGHT
from app.segments.registry import SEGMENTS
from app.training.fit import Learned
from app.training.shortlist import Shortlist
from app.training.sides import Weights, join
from app.training.validation_split import ValidationSplit

GRID = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.2, 3.3)
"""The weights that are tried beside weight 1 of the anchor. Ratios matter, so the steps grow with the weight."""

EQUAL_WITHIN = 1.0
"""Standard errors of the difference in nDCG@10 within which two sets of weights are equally good."""

ROUNDS = 3
"""How often the ascent passes over all segments, at most; it ends earlier when a round changes no weight."""


def unlearned_weights(names: list[str]) -> Weights:
    """Weights for too few ratings to learn any from: close to a list of bestsellers."""
    return {name: SEGMENTS[name].starting_weight for name in names}


def learn_weights(learned: Learned, inner: ValidationSplit, progress: ProgressCallback = ignore) -> Weights:
    """Segment name -> weight, by nDCG@10 on `inner`, from whose training part `learned` comes."""
    stage = Stage.from_progress(progress)
    names = [segment.recipe.name for segment in learned.segments]
    shortlist = Shortlist.from_sides(join(learned, dict.fromkeys(names, 1.0), fills_silence=False), inner)
    anchors = [name for name in names if SEGMENTS[name].anchors_weights]
    # A weight of 0 cannot be reached as a ratio to the anchor, so each possible anchor has an ascent of its own. An
    # ascent leaves the anchors before it at weight 0: all ratios beside them were tried while they were the anchor.
    ascents = []
    for place, anchor in enumerate(anchors):
        with stage.part(f"anchor {anchor}", (place + 1) / len(anchors)) as part:
            ndcg, weights = _ascend(shortlist, names, anchor, absent=anchors[:place])
            part.note(ndcg_at_10=round(ndcg, 4), weights=weights)
            ascents.append((ndcg, weights))
    weights = _without_useless(shortlist, _mean_of_best(shortlist, [weights for _, weights in ascents]))
    ndcg = shortlist.ndcg(np.array([*weights.values()]))
    shown = ", ".join(f"{name} {weight:.3g}" for name, weight in weights.items())
    compared = ", ".join(f"{anchor} {tried:.4f}" for anchor, (tried, _) in zip(anchors, ascents, strict=True))
    stage.decide(
        f"{shown}: the best nDCG@10 inside the training part by anchor, {compared}",
        ndcg_at_10=round(ndcg, 4),
        n_users=len(inner.user_rows),
    )
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
            # w_name = argmax over the grid of nDCG(w), with all other weights held fixed
            tried = [shortlist.ndcg(np.array([*(weights | {name: weight}).values()])) for weight in GRID]
            # The curve is flat at its top, and which of its points is highest is chance. The mean of a point and its
            # neighbours has less variance.
            smooth = _smoothed(np.array(tried))
            weights[name], best = GRID[int(smooth.argmax())], float(smooth.max())
        # A round without a change is a maximum along every coordinate, so further rounds would repeat it.
        if weights == before:
            break
    return best, weights


def _mean_of_best(shortlist: Shortlist, candidates: list[dict[str, float]]) -> dict[str, float]:
    """The mean of the best weights and of all that are worse by no more than the standard error of the difference.

    Which of them is best is then chance, and their mean varies less from one hold-out to the next.
    """
    best = max(candidates, key=lambda weights: shortlist.ndcg(np.array([*weights.values()])))
    # Only ratios matter, so each is brought to the sum 1 first.
    equal = [
        {name: weight / sum(weights.values()) for name, weight in weights.items()}
        for weights in candidates
        if weights is best or _gain(shortlist, best, weights) <= EQUAL_WITHIN
    ]
    return {name: float(np.mean([weights[name] for weights in equal])) for name in best}


def _gain(shortlist: Shortlist, weights: Mapping[str, float], others: Mapping[str, float]) -> float:
    """What `weights` gain over `others`, in standard errors of the gain over the users."""
    of_users, without = (shortlist.ndcg_of_users(np.array([*each.values()])) for each in (weights, others))
    # The change of the geometric mean is that of the arithmetic mean of relative changes, to first order.
    means = np.where(of_users.any(axis=0), of_users.mean(axis=0), 1.0)
    gains = ((of_users - without) / means).mean(axis=1)
    return float(gains.mean() / (gains.std() / math.sqrt(len(gains)) or 1.0))


def _without_useless(shortlist: Shortlist, weights: dict[str, float]) -> dict[str, float]:
    """`weights`, but 0 for each segment without which the lists are no worse, the least useful first."""
    while len(used := [name for name, weight in weights.items() if weight > 0]) > 1:
        gains = {name: _gain(shortlist, weights, weights | {name: 0.0}) for name in used}
        least = min(gains, key=lambda name: gains[name])
        if gains[least] > 0:
            break
        weights = weights | {least: 0.0}
    return weights


def _smoothed(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """(g,) each point averaged with its neighbours, 1 : 2 : 1; the ends are repeated."""
    padded = np.pad(curve, 1, mode="edge")
    # s_n = (c_{n-1} + 2 c_n + c_{n+1}) / 4
    smooth: NDArray[np.float64] = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return smooth
