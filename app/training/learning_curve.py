"""What a recipe reaches on shares of its training part: whether more ratings would help."""

import math
from dataclasses import replace

import numpy as np

from app.algorithms.progress import ProgressCallback, Stage
from app.algorithms.rating_matrix import RatingMatrix
from app.snapshots.manifest import CurvePoint
from app.training.engines import LOCAL
from app.training.errors import TrainingFailedError
from app.training.evaluate_recipe import EvaluatedRecipe
from app.training.fit import fit
from app.training.measure import NDCG
from app.training.sides import join
from app.training.validation_split import RMSE, ValidationSplit

SHARES = (0.1, 0.25, 0.5)
"""The whole has been measured already."""

MAX_RATINGS, MAX_ITEMS = 100_000, 3_000
"""Of larger training parts, the fits would take too long beside the run: that of `item_item` grows with the cube of the
items.
"""


def with_learning_curve(
    evaluated: EvaluatedRecipe, split: ValidationSplit, rng: np.random.Generator, progress: ProgressCallback
) -> EvaluatedRecipe:
    """`evaluated`, whose report has a learning curve; without one for a fallback, and for large training parts.

    The points are measured as the whole is: on the hold-out, with the same users and candidates. A larger share
    contains the smaller ones. A share that is too small to learn from is left out. There is no curve for what another
    engine learned: its points would mix two engines.
    """
    train, report = split.train, evaluated.report
    if evaluated.reason is not None or not split.is_measurable or not report.snapshot.values:
        return evaluated
    stage = Stage.from_progress(progress)
    if evaluated.recipe.engine != LOCAL:
        stage.decide(
            f"no learning curve: its points would be learned by this process, not by {evaluated.recipe.engine}"
        )
        return evaluated
    if len(train) > MAX_RATINGS or train.n_items > MAX_ITEMS:
        stage.decide(f"no learning curve: it is for up to {MAX_RATINGS:,} ratings of {MAX_ITEMS:,} items")
        return evaluated
    order, points = rng.permutation(len(train)), []
    for place, (share, fit_rng) in enumerate(zip(SHARES, rng.spawn(len(SHARES)), strict=True)):
        # Sorted, so that the ratings keep their input order.
        part = train.subset(np.sort(order[: round(share * len(train))]))
        with stage.part(f"{share:.0%}", (place + 1) / len(SHARES), n_ratings=len(part)) as fitting:
            try:
                points.append(_point(share, part, evaluated, split, fit_rng, fitting))
            except TrainingFailedError as error:
                fitting.note(failed=error.detail)
    points.append(CurvePoint(1.0, len(train), report.snapshot.values.get(NDCG), report.snapshot.values.get(RMSE)))
    return replace(evaluated, report=replace(report, diagnosis=replace(report.diagnosis, curve=tuple(points))))


def _point(
    share: float,
    part: RatingMatrix,
    evaluated: EvaluatedRecipe,
    split: ValidationSplit,
    rng: np.random.Generator,
    progress: ProgressCallback,
) -> CurvePoint:
    """Raises `TrainingFailedError`."""
    learned = fit(evaluated.recipe, part, rng, progress)
    ndcg = float(split.rank(join(learned, evaluated.weights).score).ndcg.mean())
    rmse = None if learned.rating is None else float(np.sqrt(np.mean(split.errors(learned.rating) ** 2)))
    return CurvePoint(share, len(part), _finite(ndcg), _finite(rmse))


def _finite(value: float | None) -> float | None:
    # The card is JSON, which has no NaN.
    return None if value is None or not math.isfinite(value) else value
