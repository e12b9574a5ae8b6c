"""A recipe tried out: weights learned inside the training part, then measured once on the hold-out."""

from dataclasses import dataclass

import numpy as np

from app.training.blend import learn_weights
from app.training.fit import fit
from app.training.measure import Exam, Report, measure
from app.training.progress import Tell, ignore, part
from app.training.recipe import Recipe
from app.training.sides import Weights, join


@dataclass(frozen=True)
class Trial:
    """`reason`: why this recipe and not the one asked for; None where it is that one."""

    recipe: Recipe
    weights: Weights
    report: Report
    reason: str | None = None


def try_out(
    recipe: Recipe, exam: Exam, rng: np.random.Generator, tell: Tell = ignore, reason: str | None = None
) -> Trial:
    """Fit `recipe` on the training part of `exam` and measure it on the rest; an empty report where either is empty."""
    blend_rng, fit_rng = rng.spawn(2)
    weights = learn_weights(recipe, exam, blend_rng, part(tell, 0.0, 0.5, "trying out"))
    if not exam.is_measurable:
        return Trial(recipe, weights, Report(), reason)
    learned = fit(recipe, exam.train, fit_rng, part(tell, 0.5, 0.9, "trying out"))
    tell(0.9, "trying out")
    return Trial(recipe, weights, measure(learned, join(learned, weights), exam), reason)
