"""A recipe tried out: resolved inside the training part, then measured once on the hold-out."""

from dataclasses import dataclass

import numpy as np

from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.segments.popularity import POPULARITY
from app.segments.rating import RATING
from app.training.fit import fit
from app.training.measure import NDCG, RecipeReport, measure
from app.training.recipe import Recipe, fallback_recipe
from app.training.resolve import ResolvedRecipe, resolve
from app.training.sides import Weights, join
from app.training.validation_split import RMSE, ValidationSplit

BESTSELLERS: Weights = {RATING: 1e-12, POPULARITY: 1.0}
"""Weights that are not learned and give lists of bestsellers. The weight of ratings keeps the predicted rating readable
from the user side, and is too small to change the order, even between items of equal popularity."""


@dataclass(frozen=True)
class EvaluatedRecipe:
    """`requested`: the recipe before the data chose; `resolved`: after. `report`: its measures on the hold-out.

    `reason`: why this recipe replaces the one that the job requested; None if it is the requested one.
    """

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
    """Fit `recipe` on the training part of `split` and measure it on the hold-out.

    The report is empty where either part is empty. Raises `TrainingFailedError`.
    """
    stage = Stage.from_progress(progress)
    # The fit draws from its own generator, whatever resolving drew.
    resolve_rng, fit_rng = rng.spawn(2)
    with stage.part("resolving", 0.6) as part:
        resolved = resolve(recipe, split.train, split.scale, resolve_rng, part)
    return EvaluatedRecipe(recipe, resolved, _report(resolved, split, fit_rng, stage))


def fall_back(
    reason: str, split: ValidationSplit, rng: np.random.Generator, progress: ProgressCallback = ignore
) -> EvaluatedRecipe:
    """A list of bestsellers; `reason`: why nothing better can be published."""
    recipe, stage = fallback_recipe(), Stage.from_progress(progress)
    choice = stage.decide("bestsellers: the requested recipe did not pass", reason=reason)
    resolved = ResolvedRecipe(recipe, BESTSELLERS, (choice,))
    return EvaluatedRecipe(recipe, resolved, _report(resolved, split, rng, stage), reason)


def _report(resolved: ResolvedRecipe, split: ValidationSplit, rng: np.random.Generator, stage: Stage) -> RecipeReport:
    if not split.is_measurable:
        return RecipeReport()
    # On the training part alone: the hold-out must be new to the vectors that it measures.
    with stage.part("fitting", 0.9) as part:
        learned = fit(resolved.recipe, split.train, rng, part)
    with stage.part("measuring") as part:
        report = measure(learned, join(learned, resolved.weights), split)
        part.note(**_compared(report), n_held_out=len(split.holdout), n_users=len(split.user_rows))
    return report


def _compared(report: RecipeReport) -> dict[str, float | None]:
    """The figures that the gate compares, by names that log collectors accept as fields."""
    names = {RMSE: "rmse", NDCG: "ndcg_at_10"}
    return {
        field if candidate == "snapshot" else f"{candidate}_{field}": figures.values.get(metric)
        for candidate, figures in report.by_name.items()
        for metric, field in names.items()
        if metric in figures.values
    }
