"""A recipe tried out: resolved inside the training part, then measured once on the hold-out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.segments.popularity import POPULARITY
from app.segments.rating import RATING
from app.snapshots.manifest import Acceptance
from app.training.engines import Engine
from app.training.errors import RunFailedError
from app.training.fit import fit
from app.training.measure import NDCG, RecipeReport, measure
from app.training.recipe import Recipe, fallback_recipe
from app.training.resolve import ResolvedRecipe, prepare, resolve
from app.training.sides import Weights, join
from app.training.validation_split import RMSE, Common, ValidationSplit

POPULAR_ONLY: Weights = {RATING: 1e-12, POPULARITY: 1.0}
"""Weights that are not learned and give lists of popular items. The weight of ratings keeps the predicted rating
readable from the user side, and is too small to change the order, even between items of equal popularity."""


@dataclass(frozen=True)
class EvaluatedRecipe:
    """`requested`: the recipe before the data chose; `resolved`: after. `report`: its measures on the hold-out.

    `likeness`: (n_items, c) float32 of what was learned on the training part, see `Sides`; None where nothing was.
    `reason`: why this recipe replaces the one that the job requested; None if it is the requested one. `advice`: what
    to do about the reason.
    `accepted`: when it was published against the gate, and what the gate said; None if it passed.
    """

    requested: Recipe
    resolved: ResolvedRecipe
    report: RecipeReport
    reason: str | None = None
    advice: str | None = None
    accepted: Acceptance | None = None
    likeness: NDArray[np.float32] | None = None

    @property
    def recipe(self) -> Recipe:
        return self.resolved.recipe

    @property
    def weights(self) -> Weights:
        return self.resolved.weights


def evaluate_recipe(
    recipe: Recipe,
    split: ValidationSplit,
    rng: np.random.Generator,
    progress: ProgressCallback = ignore,
    common: Common | None = None,
    engine: Engine | None = None,
) -> EvaluatedRecipe:
    """Fit `recipe` on the training part of `split` and measure it on the hold-out.

    `common`: the users and items on which it is compared with the live snapshot; None for all.
    `engine`: learns what is measured. What the recipe leaves to the data is resolved by this process, on a sample.
    The report is empty where either part is empty. Raises `TrainingFailedError`.
    """
    stage = Stage.from_progress(progress)
    # The fit draws from its own generator, whatever resolving drew.
    resolve_rng, fit_rng = rng.spawn(2)
    with stage.part("resolving", 0.6) as part:
        resolved = resolve(recipe, split.train, split.scale, resolve_rng, part)
    report, likeness = _report(resolved, split, fit_rng, stage, common, engine)
    return EvaluatedRecipe(recipe, resolved, report, likeness=likeness)


def fall_back(
    error: RunFailedError,
    tried: Sequence[str],
    split: ValidationSplit,
    rng: np.random.Generator,
    progress: ProgressCallback = ignore,
) -> EvaluatedRecipe:
    """Popular items, of all time or of late, whichever rank better.

    `error`: why nothing better can be published. `tried`: the choices of the requested recipe, which the card shows as
    well: only they say that a segment was left out, and why.
    """
    stage, report_rng, recent_rng = Stage.from_progress(progress), *rng.spawn(2)
    recipe, what = fallback_recipe(), "bestsellers"
    with stage.part("bestsellers", 0.5) as part:
        report, _ = _report(ResolvedRecipe(prepare(recipe, split.train)[0], POPULAR_ONLY), split, report_rng, part)
    if report.recent.values.get(NDCG, 0.0) > report.bestsellers.values.get(NDCG, 0.0):
        recipe, what = fallback_recipe(report.recent_half_life_days), "what was popular of late instead of bestsellers"
        with stage.part("recent") as part:
            report, _ = _report(ResolvedRecipe(prepare(recipe, split.train)[0], POPULAR_ONLY), split, recent_rng, part)
    choice = stage.decide(f"{what}: the requested recipe did not pass", reason=error.detail)
    prepared, reasons = prepare(recipe, split.train)
    new_reasons = [stage.decide(reason) for reason in reasons if reason not in tried]
    resolved = ResolvedRecipe(prepared, POPULAR_ONLY, (*tried, choice, *new_reasons))
    return EvaluatedRecipe(recipe, resolved, report, error.detail, error.advice or None)


def _report(
    resolved: ResolvedRecipe,
    split: ValidationSplit,
    rng: np.random.Generator,
    stage: Stage,
    common: Common | None = None,
    engine: Engine | None = None,
) -> tuple[RecipeReport, NDArray[np.float32] | None]:
    """The measures on the hold-out, and the likeness of the items as learned for them."""
    if not split.is_measurable:
        return RecipeReport(unmeasured=split.unmeasured), None
    # On the training part alone: the hold-out must be new to the vectors that it measures.
    with stage.part("fitting", 0.9) as part:
        learned = fit(resolved.recipe, split.train, rng, part, engine)
    with stage.part("measuring") as part:
        sides = join(learned, resolved.weights)
        report = measure(learned, sides, split, common)
        part.note(**_compared(report), n_held_out=len(split.holdout), n_users=len(split.user_rows))
    return report, sides.likeness


def _compared(report: RecipeReport) -> dict[str, float | None]:
    """The figures that the gate compares, by names that log collectors accept as fields."""
    names = {RMSE: "rmse", NDCG: "ndcg_at_10"}
    return {
        field if candidate == "snapshot" else f"{candidate}_{field}": figures.values.get(metric)
        for candidate, figures in report.by_name.items()
        for metric, field in names.items()
        if metric in figures.values
    }
