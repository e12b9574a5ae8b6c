"""The whole blend as one learner, so that it can be measured beside single algorithms."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.algorithms.progress import ProgressCallback, ignore, part
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.entities import RatingScale
from app.training.fit import fit
from app.training.recipe import Recipe, default_recipe
from app.training.resolve import ResolvedRecipe, resolve
from app.training.sides import Sides, join


@dataclass(frozen=True)
class Blend:
    """`resolved`: what the ratings made of the recipe."""

    rating: RatingVectors
    sides: Sides
    resolved: ResolvedRecipe

    @property
    def item_factors(self) -> NDArray[np.float32]:
        """(n_items, c): the columns that say which items are alike, for maps of items."""
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
        resolve_rng, fit_rng = rng.spawn(2)
        recipe = self.recipe or default_recipe()
        resolved = resolve(recipe, ratings, self.scale, resolve_rng, part(progress, 0.0, 0.6, "settling"))
        learned = fit(resolved.recipe, ratings, fit_rng, part(progress, 0.6, 1.0, "learning"))
        progress(1.0, "learned")
        return Blend(learned.rating, join(learned, resolved.weights), resolved)
