"""A recipe tried out: resolved inside the training part, then measured once on the hold-out."""

from dataclasses import dataclass

import numpy as np

from app.algorithms.progress import ProgressCallback, ignore, part
from app.segments.popularity import POPULARITY
from app.segments.rating import RATING
from app.training.fit import fit
from app.training.measure import RecipeReport, measure
from app.training.recipe import Recipe, fallback_recipe
from app.training.resolve import ResolvedRecipe, resolve
from app.training.sides import Weights, join
from app.training.validation_split import ValidationSplit

BESTSELLERS: Weights = {RATING: 1e-12, POPULARITY: 1.0}
"""Not learned, so that the lists are those of bestsellers: the predicted rating stays readable from the user side, and
is too small to change the order, even between items of equal popularity."""


@dataclass(frozen=True)
class EvaluatedRecipe:
    """`requested`: the recipe asked for; `resolved`: what the data made of it. `reason`: why another was requested."""

    requested: Recipe
    resolved: ResolvedRecipe
    report: RecipeReport
    reason: str | None = None

    @property
    def recipe(self) -> Recipe:
        return self.resolved.recipe

    @property
    def weights(self) -> Weights:
        return self.resolved.weights


def evaluate_recipe(
    recipe: Recipe, split: ValidationSplit, rng: np.random.Generator, progress: ProgressCallback = ignore
) -> EvaluatedRecipe:
    """Fit `recipe` on the training part of `split` and measure it on the hold-out; the report is empty if either is."""
    # The fit draws from its own generator, whatever resolving drew.
    resolve_rng, fit_rng = rng.spawn(2)
    resolved = resolve(recipe, split.train, split.scale, resolve_rng, part(progress, 0.0, 0.6, "trying out"))
    return EvaluatedRecipe(recipe, resolved, _report(resolved, split, fit_rng, part(progress, 0.6, 1.0, "trying out")))


def fall_back(
    reason: str, split: ValidationSplit, rng: np.random.Generator, progress: ProgressCallback = ignore
) -> EvaluatedRecipe:
    """A list of bestsellers; `reason`: why nothing better can be published."""
    recipe = fallback_recipe()
    resolved = ResolvedRecipe(recipe, BESTSELLERS, ("bestsellers: what was asked for did not pass",))
    return EvaluatedRecipe(recipe, resolved, _report(resolved, split, rng, progress), reason)


def _report(
    resolved: ResolvedRecipe, split: ValidationSplit, rng: np.random.Generator, progress: ProgressCallback
) -> RecipeReport:
    if not split.is_measurable:
        return RecipeReport()
    # On the training part alone: the hold-out must be new to what it measures.
    learned = fit(resolved.recipe, split.train, rng, part(progress, 0.0, 0.75, "trying out"))
    progress(0.75, "trying out")
    return measure(learned, join(learned, resolved.weights), split)
