"""A recipe applied to ratings: every segment learned, with the user side of every user folded in."""

import numpy as np

from app.algorithms.progress import ProgressCallback, ignore, part
from app.algorithms.rating_matrix import RatingMatrix
from app.segments.base import LearnedSegment, SegmentFitError, SegmentRecipe
from app.segments.registry import SEGMENTS
from app.training.errors import TrainingFailedError
from app.training.learned import Learned
from app.training.recipe import Recipe


def fit(
    recipe: Recipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
) -> Learned:
    """Learn every segment of `recipe`, none of them `auto`, from `ratings`.

    Items and users without ratings are filled in from their features; where there are none either, learned columns are
    zeros and popularity is that of no ratings. Raises `TrainingFailedError` where an algorithm gives up.
    """
    n = len(recipe.segments)
    # Each segment has a generator of its own, so that what one draws does not depend on the others.
    segments = tuple(
        SEGMENTS[segment.name].extend(
            fit_segment(segment, ratings, segment_rng, part(progress, done / n, (done + 1) / n, segment.name)), ratings
        )
        for done, (segment, segment_rng) in enumerate(zip(recipe.segments, rng.spawn(n), strict=True))
    )
    return Learned.from_segments(segments, ratings)


def fit_segment(
    recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
) -> LearnedSegment:
    """One segment learned, not extended by features. Raises `TrainingFailedError`."""
    try:
        return SEGMENTS[recipe.name].fit(recipe, ratings, rng, progress)
    except SegmentFitError as error:
        raise TrainingFailedError(str(error)) from error
