"""The whole blend as one learner, so that it can be measured beside single algorithms."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.entities import RatingScale
from app.training.fit import fit
from app.training.recipe import Recipe, default_recipe
from app.training.resolve import ResolvedRecipe, resolve
from app.training.sides import Sides, join


@dataclass(frozen=True)
class Blend:
    """What a training run would publish, as the measures of single algorithms read it.

    `rating`: predicts ratings. `sides`: rank. `resolved`: the recipe after the data chose.
    """

    rating: RatingVectors
    sides: Sides
    resolved: ResolvedRecipe

    @property
    def item_factors(self) -> NDArray[np.float32]:
        """(n_items, c) float32, the columns whose directions are compared for similar items; for maps of items."""
        return self.sides.likeness

    def scores(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        return self.sides.score(user_rows)

    def predict(self, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """(n,) by the rating segment alone, as predictions are served."""
        return self.rating.predict(user_rows, item_rows)


@dataclass(frozen=True)
class BlendLearner:
    """Learns what a training run would publish: the recipe is resolved inside the ratings, then learned from all."""

    scale: RatingScale
    recipe: Recipe | None = None

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore) -> Blend:
        # Spawned in the order of `evaluate_recipe`: resolving first, then the fit.
        resolve_rng, fit_rng = rng.spawn(2)
        stage, recipe = Stage.from_progress(progress), self.recipe or default_recipe()
        with stage.part("resolving", 0.6) as part:
            resolved = resolve(recipe, ratings, self.scale, resolve_rng, part)
        with stage.part("fitting") as part:
            learned = fit(resolved.recipe, ratings, fit_rng, part)
        return Blend(learned.rating, join(learned, resolved.weights), resolved)
