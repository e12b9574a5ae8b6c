"""A recipe tried out: settled inside the training part, then measured once on the hold-out."""

from dataclasses import dataclass

import numpy as np

from app.training.exam import Exam
from app.training.fit import fit
from app.training.measure import Report, measure
from app.training.progress import Tell, ignore, part
from app.training.recipe import Recipe
from app.training.settle import Settled, settle
from app.training.sides import Weights, join


@dataclass(frozen=True)
class Trial:
    """`requested`: the recipe asked for; `settled`: what the data made of it. `reason`: why another was requested."""

    requested: Recipe
    settled: Settled
    report: Report
    reason: str | None = None

    @property
    def recipe(self) -> Recipe:
        return self.settled.recipe

    @property
    def weights(self) -> Weights:
        return self.settled.weights


def try_out(
    recipe: Recipe, exam: Exam, rng: np.random.Generator, tell: Tell = ignore, reason: str | None = None
) -> Trial:
    """Fit `recipe` on the training part of `exam` and measure it on the rest; an empty report where either is empty."""
    settle_rng, fit_rng = rng.spawn(2)
    settled = settle(recipe, exam.train, exam.scale, settle_rng, part(tell, 0.0, 0.6, "trying out"))
    if not exam.is_measurable:
        return Trial(recipe, settled, Report(), reason)
    learned = fit(settled.recipe, exam.train, fit_rng, part(tell, 0.6, 0.9, "trying out"))
    tell(0.9, "trying out")
    return Trial(recipe, settled, measure(learned, join(learned, settled.weights), exam), reason)
