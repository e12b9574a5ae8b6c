"""A recipe applied to ratings: every segment learned, its user side folded in."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.algorithms.by_name import make_rating_learner
from app.algorithms.errors import AlgorithmError
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.snapshots.snapshot import prior_part, rating_part
from app.training.errors import TrainingFailedError
from app.training.progress import Tell, ignore
from app.training.recipe import PRIOR, RATING, Recipe, SegmentRecipe


@dataclass(frozen=True)
class LearnedSegment:
    """One segment, not yet weighted.

    `item_part`: (n_items, c) float32. `unrated_item`: (c,), the part of any item without ratings. `user_part`:
    (n_users, c) float32, folded in. `vectors`: what the rating segment is made from.
    """

    recipe: SegmentRecipe
    item_part: NDArray[np.float32]
    unrated_item: NDArray[np.float32]
    user_part: NDArray[np.float32]
    vectors: RatingVectors | None = None


@dataclass(frozen=True)
class Learned:
    """`rating`: the rating segment's vectors, their user side folded in. `item_counts`: (n_items,) int32."""

    segments: tuple[LearnedSegment, ...]
    rating: RatingVectors
    item_counts: NDArray[np.int32]

    @property
    def is_finite(self) -> bool:
        parts = [part for segment in self.segments for part in (segment.item_part, segment.user_part)]
        return all(bool(np.isfinite(part).all()) for part in (*parts, self.rating.user_biases))


def fit(recipe: Recipe, ratings: RatingMatrix, rng: np.random.Generator, tell: Tell = ignore) -> Learned:
    """Learn every segment of `recipe` from `ratings`.

    Items nobody rated get zero rating columns and the prior of no ratings. Raises
    `TrainingFailedError` where an algorithm gives up.
    """
    segments = tuple(
        FITS[segment.name](segment, ratings, segment_rng, tell)
        for segment, segment_rng in zip(recipe.segments, rng.spawn(len(recipe.segments)), strict=True)
    )
    (rating,) = (segment.vectors for segment in segments if segment.vectors is not None)
    return Learned(segments, rating, ratings.item_counts.astype(np.int32))


def fit_rating(segment: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, tell: Tell) -> LearnedSegment:
    """[q_i | b_i] and [p_u | 1]; learners return the fold-in of every user against their final item side."""
    try:
        vectors = make_rating_learner(segment.algorithm, segment.hyperparameters).fit(ratings, rng, tell)
    except AlgorithmError as error:
        raise TrainingFailedError(f"{segment.algorithm}: {error}") from error
    item_part = np.hstack([vectors.item_factors, vectors.item_biases[:, None]])
    return LearnedSegment(
        recipe=segment,
        item_part=item_part,
        unrated_item=np.zeros(item_part.shape[1], np.float32),
        user_part=rating_part(vectors.user_factors),
        vectors=vectors,
    )


def fit_prior(segment: SegmentRecipe, ratings: RatingMatrix, _rng: np.random.Generator, _tell: Tell) -> LearnedSegment:
    """prior_i = log(1 + n_i), standardised over the rated items, so that a long unrated tail changes no list."""
    counts = ratings.item_counts
    of_rated = np.log1p(counts[counts > 0])
    spread = of_rated.std() or 1.0  # where all are equally popular, the prior is 0 everywhere
    prior = np.log1p(np.append(counts, 0))
    standardised = ((prior - of_rated.mean()) / spread).astype(np.float32)[:, None]
    return LearnedSegment(
        recipe=segment,
        item_part=standardised[:-1],
        unrated_item=standardised[-1],
        user_part=prior_part(ratings.n_users),
    )


FITS: dict[str, Callable[[SegmentRecipe, RatingMatrix, np.random.Generator, Tell], LearnedSegment]] = {
    RATING: fit_rating,
    PRIOR: fit_prior,
}
