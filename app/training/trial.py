"""A recipe tried out: settled inside the training part, then measured once on the hold-out."""

from dataclasses import dataclass

import numpy as np

from app.training.exam import Exam
from app.training.fit import fit
from app.training.measure import Report, measure
from app.training.progress import Tell, ignore, part
from app.training.recipe import PRIOR, RATING, Recipe, fallback_recipe
from app.training.settle import Settled, settle
from app.training.sides import Weights, join

BESTSELLERS: Weights = {RATING: 1e-12, PRIOR: 1.0}
"""Not learned, so that the lists are those of bestsellers: the predicted rating stays readable from the user side, and
is too small to change the order, even of equals."""


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


def try_out(recipe: Recipe, exam: Exam, rng: np.random.Generator, tell: Tell = ignore) -> Trial:
    """Fit `recipe` on the training part of `exam` and measure it on the rest; an empty report where either is empty."""
    settle_rng, fit_rng = rng.spawn(2)
    settled = settle(recipe, exam.train, exam.scale, settle_rng, part(tell, 0.0, 0.6, "trying out"))
    return Trial(recipe, settled, _report(settled, exam, fit_rng, part(tell, 0.6, 1.0, "trying out")))


def fall_back(reason: str, exam: Exam, rng: np.random.Generator, tell: Tell = ignore) -> Trial:
    """A list of bestsellers; `reason`: why nothing better was to be had."""
    recipe = fallback_recipe()
    settled = Settled(recipe, BESTSELLERS, ("bestsellers: what was asked for did not pass",))
    return Trial(recipe, settled, _report(settled, exam, rng, tell), reason)


def _report(settled: Settled, exam: Exam, rng: np.random.Generator, tell: Tell) -> Report:
    if not exam.is_measurable:
        return Report()
    learned = fit(settled.recipe, exam.train, rng, part(tell, 0.0, 0.75, "trying out"))
    tell(0.75, "trying out")
    return measure(learned, join(learned, settled.weights), exam)
