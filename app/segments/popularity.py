"""The segment `popularity`: how many users chose an item, of late or ever, the same for every user.

    pop_i = (log(1 + n_i) - mean) / standard deviation      score  1 . pop_i

n_i: the number of users who rated the item and not low, or have positive events of it, decayed with the hyperparameter
`half_life_days`, see `decayed_counts`; None decays nothing. Mean and deviation are those of chosen items. Counts follow
a power law, so their logarithm keeps a few bestsellers from deciding every list.

Refused: counting all ratings, which puts forward what many rate low, and counting likes alone, which ranks worse where
there are few ratings (nDCG@10 0.33 in place of 0.38 on 2,400 generated ones). What is shown as popular, charts and
groups, counts likes.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.decayed_counts import DatedChoices, HalfLife, find_half_life
from app.algorithms.errors import InvalidHyperparameterError
from app.algorithms.progress import ProgressCallback
from app.algorithms.rating_matrix import RatingMatrix
from app.segments.base import AUTO, Float32Array, SegmentRecipe, Validation
from app.segments.dense import DenseFold, DenseSegment, LearnedDenseSegment, UserPart

POPULARITY = "popularity"
HALF_LIFE = "half_life_days"

_ONE = UserPart(np.ones(1, np.float32))


class PopularityFold(DenseFold):
    """[1] for every user."""

    def fold_in(
        self,
        columns: Float32Array,
        values: NDArray[np.floating],
        item_rows: NDArray[np.integer],
        features: sparse.csr_array | None = None,
    ) -> UserPart:
        return _ONE


class PopularitySegment(DenseSegment):
    """Learned by counting; `auto` chooses the half-life of the counts."""

    name = POPULARITY
    algorithms = (POPULARITY, AUTO)
    default_algorithm = AUTO
    algorithm_without_data = POPULARITY
    is_required = True
    starting_weight = 1.0
    anchors_weights = True
    unknown_weight = 1.0

    def hyperparameters(self, algorithm: str, given: Mapping[str, Any]) -> dict[str, Any]:
        if algorithm == AUTO:
            return super().hyperparameters(algorithm, given)
        if unknown := given.keys() - {HALF_LIFE}:
            raise InvalidHyperparameterError(f"{POPULARITY} takes {HALF_LIFE}, not {', '.join(sorted(unknown))}")
        days = given.get(HALF_LIFE)
        # A flag is an int to Python, and no length of time.
        is_number = isinstance(days, int | float) and not isinstance(days, bool)
        if days is not None and not (is_number and 0 < days < math.inf):
            raise InvalidHyperparameterError(f"{HALF_LIFE} is a number of days above 0, or null for no decay")
        return {HALF_LIFE: days}

    def _fit(
        self,
        recipe: SegmentRecipe,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback,
    ) -> LearnedDenseSegment:
        # Recipes of earlier releases have no half-life.
        return self.learned(
            recipe, DatedChoices.from_ratings(ratings).counts(recipe.hyperparameters.get(HALF_LIFE)), ratings
        )

    def learned(self, recipe: SegmentRecipe, counts: NDArray[np.float64], ratings: RatingMatrix) -> LearnedDenseSegment:
        """The segment of `counts` (n_items,), the decayed choices of each item in `ratings`."""
        item_part, unrated_item = popularity_part(counts, ratings.item_choice_counts > 0)
        return LearnedDenseSegment(
            recipe=recipe,
            item_part=item_part,
            user_part=np.ones((ratings.n_users, 1), np.float32),
            unrated_item=unrated_item,
            fold=PopularityFold(),
        )

    def choose(
        self,
        validation: Validation,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback,
        allowed: Collection[str] | None = None,
    ) -> tuple[LearnedDenseSegment, str]:
        found = find_half_life(validation.train)
        recipe = self.complete(POPULARITY, {HALF_LIFE: found.days if found.is_better else None})
        return self.fit(recipe, validation.train, rng, progress), half_life_choice(found)

    def _open(self, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> PopularityFold:
        return PopularityFold()

    def unknown_part(self, n_columns: int) -> Float32Array:
        return np.ones(n_columns, np.float32)

    def item_trust(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        # A power between n^0 and n^1, for the reason given in `TasteSegment.item_trust`: mapped with equal weights, a
        # new item would be as unpopular as the long tail.
        return counts.astype(np.float64) ** (1 / 3)


def half_life_choice(found: HalfLife) -> str:
    """The sentence on a choice between decayed counts and plain ones."""
    if found.days is None:
        return "popularity: all choices count alike, since their times do not differ by days or are unknown"
    figures = f"newest choices foretold with nDCG@10 {found.ndcg:.4f}"
    undecayed = f"{found.ndcg_undecayed:.4f} without decay"
    if found.is_better:
        return (
            f"popularity of late: a choice counts half after {found.days:.3g} days, the best of {found.n_tried} "
            f"half-lives tried; {figures}, and {undecayed}"
        )
    return f"popularity: all choices count alike; {figures} by a half-life of {found.days:.3g} days, and {undecayed}"


def popularity_part(counts: NDArray[np.floating], is_chosen: NDArray[np.bool_]) -> tuple[Float32Array, Float32Array]:
    """The item part (n_items, 1) of items with `counts` (n_items,), and that of an unchosen one, (1,).

    `is_chosen`: (n_items,); the count of a chosen item may have decayed to 0.
    """
    of_chosen = np.log1p(counts[is_chosen]) if is_chosen.any() else np.zeros(1)
    # Standardised over chosen items only, so that importing a catalogue of unchosen ones changes no list. Where all
    # items are equally popular, the part is 0 everywhere.
    spread = of_chosen.std() or 1.0
    # pop_i = (log(1 + n_i) - mean) / standard deviation
    standardised = (np.log1p(np.append(counts, 0)) - of_chosen.mean()) / spread
    part = standardised.astype(np.float32)[:, None]
    return part[:-1], part[-1]
