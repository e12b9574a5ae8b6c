"""The whole blend as one learner, so that it can be measured beside single algorithms."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.entities import RatingScale
from app.scoring.sides import join_user_parts, table_scales
from app.segments.base import Observations
from app.training.fit import Learned, fit
from app.training.recipe import Recipe, default_recipe
from app.training.resolve import ResolvedRecipe, resolve
from app.training.sides import Sides, join


@dataclass(frozen=True)
class Blend:
    """What a training run would publish, as the measures of single algorithms read it.

    `learned`: by segment. `sides`: rank. `resolved`: the recipe after the data chose.
    """

    learned: Learned
    sides: Sides
    resolved: ResolvedRecipe

    @property
    def item_factors(self) -> NDArray[np.float32]:
        """(n_items, c) float32, the columns whose directions are compared for similar items; for maps of items."""
        return self.sides.likeness

    def scores(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        return self.sides.score(user_rows)

    def scores_of(self, histories: RatingMatrix) -> NDArray[np.float32]:
        """As `scores`, for b histories, the users of a matrix, folded in as serving does: (b, n_items) float32."""
        users = _observations(histories)
        features = histories.features
        parts: dict[str, NDArray[np.float32]] = {}
        for segment in self.learned.dense:
            fold, folded = segment.fold, []
            for user, observed in enumerate(users):
                rows, values = fold.select(observed)
                of_user = features.users[[user]] if features is not None and fold.reads_features else None
                folded.append(fold.fold_in(segment.item_part[rows], values, rows, of_user).columns)
            parts[segment.recipe.name] = np.stack(folded)
        silent = np.zeros(histories.n_users)
        for entry in self.sides.segments:
            if entry.columns is None:
                silent += np.where(self.sides.tables[entry.name].speaks_of(histories), 0.0, entry.weight)
        vectors = join_user_parts(parts, self.sides.dense, self.sides.item_covariance, silent)
        scores: NDArray[np.float32] = vectors @ self.sides.item_vectors.T
        for entry in self.sides.segments:
            if entry.columns is None:
                of_table = self.sides.tables[entry.name].scores_of(histories)
                scores += of_table * table_scales(of_table, self.sides.n_chosen, entry.weight)[:, None]
        return scores


@dataclass(frozen=True)
class RatingBlend(Blend):
    """A blend that predicts ratings, by `rating`, since the values are grades."""

    rating: RatingVectors

    def predict(self, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """(n,) by the rating segment alone, as predictions are served."""
        return self.rating.predict(user_rows, item_rows)


@dataclass(frozen=True)
class BlendLearner:
    """Learns what a training run would publish: the recipe is resolved inside the ratings, then learned from all."""

    scale: RatingScale
    recipe: Recipe | None = None

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore) -> Blend:
        ratings = ratings.with_liked_from(self.scale.liked_from)
        # Spawned in the order of `evaluate_recipe`: resolving first, then the fit.
        resolve_rng, fit_rng = rng.spawn(2)
        stage, recipe = Stage.from_progress(progress), self.recipe or default_recipe()
        with stage.part("resolving", 0.6) as part:
            resolved = resolve(recipe, ratings, self.scale, resolve_rng, part)
        with stage.part("fitting") as part:
            learned = fit(resolved.recipe, ratings, fit_rng, part)
        blend = (learned, join(learned, resolved.weights), resolved)
        return Blend(*blend) if learned.rating is None else RatingBlend(*blend, learned.rating)


def _observations(histories: RatingMatrix) -> list[Observations]:
    """What is known of each user, newest first, as snapshots store histories."""
    order = np.lexsort((histories.item_rows, ~histories.times, histories.user_rows))
    ends = np.cumsum(histories.user_counts)[:-1]
    columns = (histories.item_rows[order], histories.values[order], histories.times[order])
    by_user = zip(*(np.split(column, ends) for column in columns), strict=True)
    return [Observations(rows, values, rated_at=times) for rows, values, times in by_user]
