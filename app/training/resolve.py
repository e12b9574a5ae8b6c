"""What a recipe leaves to the data, settled on a split inside the training part: algorithms, their settings, weights.

The hold-out of the run plays no part. The work is bounded by the size of the data, never by the clock: the same seed
and ratings give the same snapshot on any machine.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from app.algorithms.progress import ProgressCallback, ignore, part
from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.training.blend import learn_weights, unlearned_weights
from app.training.engagement import resolve_engagement, told_of_engagement
from app.training.fit import fit_segment
from app.training.learned import Learned, LearnedSegment
from app.training.rating_choice import choose_rating
from app.training.recipe import AUTO, RATING, TASTE, Recipe, complete
from app.training.sides import Weights
from app.training.taste_search import search_taste
from app.training.validation_split import ValidationSplit, inner_split

MAX_RATINGS = 1_000_000
"""Of larger data, users are drawn by lot until they have given this many ratings; nobody else is looked at here."""

MAX_USERS = 1000
"""Users whose lists are compared."""

Choose = Callable[[ValidationSplit, int, np.random.Generator, ProgressCallback], tuple[LearnedSegment, str]]

CHOICES: dict[str, Choose] = {RATING: choose_rating, TASTE: search_taste}
"""Segment name -> how its algorithm and settings are chosen, and a sentence that says why."""

WITHOUT_DATA = {RATING: "biases", TASTE: "als_implicit"}
"""What `auto` is where there is too little to compare anything."""


@dataclass(frozen=True)
class ResolvedRecipe:
    """`recipe`: without `auto`, and without segments of weight 0. `choices`: why it is this one, a sentence each."""

    recipe: Recipe
    weights: Weights
    choices: tuple[str, ...] = ()


def resolve(
    recipe: Recipe,
    ratings: RatingMatrix,
    scale: RatingScale,
    rng: np.random.Generator,
    progress: ProgressCallback = ignore,
) -> ResolvedRecipe:
    """What `ratings`, all of them a training part, make of `recipe`."""
    (split_rng,) = rng.spawn(1)
    sizes = {"max_ratings": MAX_RATINGS, "max_users": MAX_USERS}
    inner = inner_split(ratings, scale, recipe.holdout_fraction, split_rng, **sizes)
    recipe, left_out = resolve_engagement(recipe, inner.train if inner.is_measurable else ratings)
    if not inner.is_measurable:
        return _unmeasured(recipe, left_out)
    learned: list[LearnedSegment] = []
    choices = [*left_out]
    n = len(recipe.segments)
    for done, (segment, segment_rng) in enumerate(zip(recipe.segments, rng.spawn(n), strict=True)):
        stage = part(progress, done / n, (done + 1) / n, segment.name)
        if segment.algorithm == AUTO:
            chosen, choice = CHOICES[segment.name](inner, len(ratings), segment_rng, stage)
            choices.append(choice)
        else:
            chosen = fit_segment(segment, inner.train, segment_rng, stage)
        learned.append(chosen)
    weights = learn_weights(Learned.of(tuple(learned), inner.train), inner)
    choices += told_of_engagement(weights, inner.train)
    choices += [f"{name} left out: it improves no list" for name, weight in weights.items() if weight == 0]
    kept = tuple(segment.recipe for segment in learned if weights[segment.recipe.name] > 0)
    return ResolvedRecipe(replace(recipe, segments=kept), weights, tuple(choices))


def _unmeasured(recipe: Recipe, left_out: tuple[str, ...]) -> ResolvedRecipe:
    segments = tuple(
        complete(segment.name, WITHOUT_DATA[segment.name], {}) if segment.algorithm == AUTO else segment
        for segment in recipe.segments
    )
    weights = unlearned_weights([segment.name for segment in segments])
    return ResolvedRecipe(
        replace(recipe, segments=segments), weights, (*left_out, "too few ratings to compare anything")
    )
