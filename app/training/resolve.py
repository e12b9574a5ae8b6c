"""What a recipe leaves to the data, resolved on a split inside the training part: algorithms, settings, weights.

The hold-out of the run plays no part. The work is bounded by the size of the data, never by the clock: the same seed
and ratings give the same snapshot on any machine.
"""

from dataclasses import dataclass, replace

import numpy as np

from app.algorithms.progress import ProgressCallback, ignore, part
from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.segments.base import AUTO, LearnedSegment, SegmentFitError, SegmentRecipe
from app.segments.registry import SEGMENTS
from app.training.blend import learn_weights, unlearned_weights
from app.training.errors import TrainingFailedError
from app.training.fit import fit_segment
from app.training.learned import Learned
from app.training.recipe import Recipe, complete
from app.training.sides import Weights
from app.training.validation_split import ValidationSplit, inner_split

MAX_RATINGS = 1_000_000
"""Of larger data, users are drawn at random until they have given this many ratings; all others are left out here."""

MAX_USERS = 1000
"""Users whose lists are compared, at most."""


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
    """What `ratings`, all of them a training part, make of `recipe`. Raises `TrainingFailedError`."""
    # Generators are spawned in a fixed order, so that equal seeds give equal snapshots.
    (split_rng,) = rng.spawn(1)
    sizes = {"max_ratings": MAX_RATINGS, "max_users": MAX_USERS}
    # A second split by the same rule: choices made on the hold-out would flatter the report.
    inner = inner_split(ratings, scale, recipe.holdout_fraction, split_rng, **sizes)
    recipe, choices = prepare(recipe, inner.train if inner.is_measurable else ratings)
    if not inner.is_measurable:
        return _unmeasured(recipe, choices)
    learned: list[LearnedSegment] = []
    n = len(recipe.segments)
    for done, (segment, segment_rng) in enumerate(zip(recipe.segments, rng.spawn(n), strict=True)):
        stage = part(progress, done / n, (done + 1) / n, segment.name)
        if segment.algorithm == AUTO:
            chosen, choice = _choose(segment, inner, len(ratings), segment_rng, stage)
            choices.append(choice)
        else:
            chosen = fit_segment(segment, inner.train, segment_rng, stage)
        learned.append(chosen)
    # The blend is learned from the same fits, so no segment is learned twice.
    weights = learn_weights(Learned.from_segments(tuple(learned), inner.train), inner)
    notes = [SEGMENTS[name].note(weight, inner.train) for name, weight in weights.items()]
    choices += [note for note in notes if note is not None]
    choices += [f"{name} left out: it improves no list" for name, weight in weights.items() if weight == 0]
    # A segment of weight 0 would cost columns and memory and change no list.
    kept = tuple(segment.recipe for segment in learned if weights[segment.recipe.name] > 0)
    return ResolvedRecipe(replace(recipe, segments=kept), weights, tuple(choices))


def prepare(recipe: Recipe, ratings: RatingMatrix) -> tuple[Recipe, list[str]]:
    """`recipe` without the segments that `ratings` cannot teach anything, and why they are missing."""
    prepared = [SEGMENTS[segment.name].prepare(segment, ratings) for segment in recipe.segments]
    segments = tuple(segment for segment, _ in prepared if segment is not None)
    return replace(recipe, segments=segments), [why for _, why in prepared if why is not None]


def _choose(
    segment: SegmentRecipe, inner: ValidationSplit, n_ratings: int, rng: np.random.Generator, progress: ProgressCallback
) -> tuple[LearnedSegment, str]:
    try:
        return SEGMENTS[segment.name].choose(inner, n_ratings, rng, progress)
    except SegmentFitError as error:
        raise TrainingFailedError(str(error)) from error


def _unmeasured(recipe: Recipe, choices: list[str]) -> ResolvedRecipe:
    segments = tuple(
        complete(segment.name, SEGMENTS[segment.name].algorithm_without_data, {})
        if segment.algorithm == AUTO
        else segment
        for segment in recipe.segments
    )
    weights = unlearned_weights([segment.name for segment in segments])
    return ResolvedRecipe(
        replace(recipe, segments=segments), weights, (*choices, "too few ratings to compare anything")
    )
