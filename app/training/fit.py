"""A recipe applied to ratings: every segment learned, with the user side of every user folded in."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_uncertainty import RatingUncertainty
from app.algorithms.rating_vectors import RatingVectors
from app.segments.base import LearnedSegment, SegmentFitError, SegmentRecipe
from app.segments.rating import with_uncertainty
from app.segments.registry import SEGMENTS
from app.training.errors import TrainingFailedError
from app.training.recipe import Recipe


@dataclass(frozen=True)
class Learned:
    """What a recipe learned, segment by segment, before weights join the segments.

    `item_counts`: (n_items,) int32, how many users chose each item.
    `is_unknown`: (n_users,) bool, the users with neither choices nor features.
    """

    segments: tuple[LearnedSegment, ...]
    item_counts: NDArray[np.int32]
    is_unknown: NDArray[np.bool_]

    @classmethod
    def from_segments(cls, segments: tuple[LearnedSegment, ...], ratings: RatingMatrix) -> "Learned":
        """`ratings`: what the segments were learned from."""
        # A user with negative items alone is unknown too: they do not say what the user would like instead.
        is_unknown = ratings.user_choice_counts == 0
        if ratings.features is not None:
            # The features are a sparse matrix by rows; a row without entries is a user without features.
            is_unknown &= np.diff(ratings.features.users.indptr) == 0
        return cls(segments, ratings.item_choice_counts.astype(np.int32), is_unknown)

    @property
    def rating(self) -> RatingVectors:
        """The vectors that predict ratings; the user side is folded in."""
        # Exactly one segment predicts ratings, and every recipe has it.
        (vectors,) = (segment.vectors for segment in self.segments if segment.vectors is not None)
        return vectors

    @property
    def uncertainty(self) -> RatingUncertainty:
        """The standard deviations of predicted ratings."""
        uncertainty = self.rating.uncertainty
        if uncertainty is None:
            raise ValueError("a rating segment has an uncertainty")
        return uncertainty

    def with_uncertainty(self, uncertainty: RatingUncertainty) -> "Learned":
        """The same with an uncertainty estimated on a hold-out, for a learner that gives none."""
        segments = tuple(
            segment if segment.vectors is None else with_uncertainty(segment, uncertainty) for segment in self.segments
        )
        return replace(self, segments=segments)

    @property
    def is_finite(self) -> bool:
        """Whether all numbers that scores and predictions are made of are finite."""
        parts = [part for segment in self.segments for part in (segment.item_part, segment.user_part)]
        return all(bool(np.isfinite(part).all()) for part in (*parts, self.rating.user_biases))


def fit(
    recipe: Recipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
) -> Learned:
    """Learn every segment of `recipe`, none of them `auto`, from `ratings`; each is a part of the stage `progress`.

    Items and users without ratings are filled in from their features; where there are none either, learned columns are
    zeros and popularity is that of no ratings. Raises `TrainingFailedError` if an algorithm fails.
    """
    stage, n = Stage.from_progress(progress), len(recipe.segments)
    segments: list[LearnedSegment] = []
    # Each segment has a generator of its own, so that the draws of one do not depend on the others.
    for segment, segment_rng in zip(recipe.segments, rng.spawn(n), strict=True):
        with stage.part(segment.name, (len(segments) + 1) / n, algorithm=segment.algorithm) as part:
            learned = fit_segment(segment, ratings, segment_rng, part)
            segments.append(SEGMENTS[segment.name].extend(learned, ratings))
    return Learned.from_segments(tuple(segments), ratings)


def fit_segment(
    recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
) -> LearnedSegment:
    """One segment learned, not extended by features. Raises `TrainingFailedError`."""
    try:
        return SEGMENTS[recipe.name].fit(recipe, ratings, rng, progress)
    except SegmentFitError as error:
        raise TrainingFailedError(str(error)) from error
