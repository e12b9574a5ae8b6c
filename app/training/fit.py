"""A recipe applied to ratings: every segment learned, with the user side of every user folded in."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_uncertainty import RatingUncertainty
from app.algorithms.rating_vectors import RatingVectors
from app.segments.base import LearnedSegment, SegmentDivergedError, SegmentFitError, SegmentRecipe
from app.segments.dense import LearnedDenseSegment
from app.segments.rating import with_uncertainty
from app.segments.registry import SEGMENTS
from app.segments.sparse import LearnedSparseSegment
from app.training.engines import Engine
from app.training.errors import TrainingFailedError
from app.training.recipe import Recipe


@dataclass(frozen=True)
class Learned:
    """What a recipe learned, segment by segment, before weights join the segments.

    `item_counts`, `like_counts`: (n_items,) int32, how many users chose each item, and how many of them liked it.
    `is_unknown`: (n_users,) bool, the users with neither choices nor features.
    `remarks`: a sentence on each segment of the recipe that diverged, or holds less than requested.
    """

    segments: tuple[LearnedSegment, ...]
    item_counts: NDArray[np.int32]
    like_counts: NDArray[np.int32]
    is_unknown: NDArray[np.bool_]
    remarks: tuple[str, ...] = ()

    @classmethod
    def from_segments(
        cls, segments: tuple[LearnedSegment, ...], ratings: RatingMatrix, remarks: tuple[str, ...] = ()
    ) -> "Learned":
        """`ratings`: what the segments were learned from."""
        # A user with negative items alone is unknown too: they do not say what the user would like instead.
        is_unknown = ratings.user_choice_counts == 0
        if ratings.features is not None:
            # The features are a sparse matrix by rows; a row without entries is a user without features.
            is_unknown &= np.diff(ratings.features.users.indptr) == 0
        counts = (ratings.item_choice_counts.astype(np.int32), ratings.item_like_counts.astype(np.int32))
        return cls(segments, *counts, is_unknown, remarks)

    @property
    def dense(self) -> list[LearnedDenseSegment]:
        return [segment for segment in self.segments if isinstance(segment, LearnedDenseSegment)]

    @property
    def sparse(self) -> list[LearnedSparseSegment]:
        return [segment for segment in self.segments if isinstance(segment, LearnedSparseSegment)]

    @property
    def rating(self) -> RatingVectors | None:
        """The vectors that predict ratings, the user side folded in; None where the values are no grades."""
        return next((segment.vectors for segment in self.dense if segment.vectors is not None), None)

    @property
    def uncertainty(self) -> RatingUncertainty | None:
        """The standard deviations of predicted ratings; None where none are predicted."""
        return None if self.rating is None else self.rating.uncertainty

    def with_uncertainty(self, uncertainty: RatingUncertainty) -> "Learned":
        """The same with an uncertainty estimated on a hold-out, for a learner that gives none."""
        return replace(
            self,
            segments=tuple(
                with_uncertainty(segment, uncertainty)
                if isinstance(segment, LearnedDenseSegment) and segment.vectors is not None
                else segment
                for segment in self.segments
            ),
        )

    @property
    def is_finite(self) -> bool:
        """Whether all numbers that scores and predictions are made of are finite."""
        are_finite = all(segment.is_finite for segment in self.segments)
        return are_finite and (self.rating is None or bool(np.isfinite(self.rating.user_biases).all()))


def fit(
    recipe: Recipe,
    ratings: RatingMatrix,
    rng: np.random.Generator,
    progress: ProgressCallback = ignore,
    engine: Engine | None = None,
) -> Learned:
    """Learn every segment of `recipe`, none of them `auto`, from `ratings`; each is a part of the stage `progress`.

    Items and users without ratings are filled in from their features; where there are none either, learned columns are
    zeros and popularity is that of no ratings. A segment that diverges is left out, unless it is required. Raises
    `TrainingFailedError` if a required one diverges, or an algorithm fails otherwise.
    `engine`: learns the segments that it can; None: this process learns all.
    """
    stage, n = Stage.from_progress(progress), len(recipe.segments)
    segments: list[LearnedSegment] = []
    remarks: list[str] = []
    of_engine: list[str] = []
    # Each segment has a generator of its own, so that the draws of one do not depend on the others.
    for place, (recipe_part, segment_rng) in enumerate(zip(recipe.segments, rng.spawn(n), strict=True)):
        segment = SEGMENTS[recipe_part.name]
        with stage.part(segment.name, (place + 1) / n, algorithm=recipe_part.algorithm) as part:
            try:
                learned = None if engine is None else engine.learn(recipe_part, ratings, segment_rng, part)
                if learned is not None:
                    of_engine.append(segment.name)
                else:
                    learned = segment.fit(recipe_part, ratings, segment_rng, part)
                segments.append(segment.extend(learned, ratings))
                if learned.remark is not None:
                    remarks.append(part.decide(learned.remark))
            except SegmentFitError as error:
                remarks.append(part.decide(left_out(recipe_part, error)))
    if engine is not None:
        remarks.append(stage.decide(engine.remark(of_engine)))
    return Learned.from_segments(tuple(segments), ratings, tuple(remarks))


def left_out(recipe: SegmentRecipe, error: SegmentFitError) -> str:
    """A sentence on a segment that diverged, for the snapshot's card.

    Raises `TrainingFailedError` where the segment is required, or its algorithm lacks something that it needs: then the
    recipe is wrong, not the data.
    """
    if SEGMENTS[recipe.name].is_required or not isinstance(error, SegmentDivergedError):
        raise TrainingFailedError(str(error)) from error
    return f"{recipe.name} left out: {error}"
