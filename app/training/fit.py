"""A recipe applied to ratings: every segment learned, its user side folded in."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.by_name import make_rating_learner, make_taste_learner
from app.algorithms.engagement_fold_in import EngagementFoldIn
from app.algorithms.errors import AlgorithmError
from app.algorithms.hyperparameters import build
from app.algorithms.logistic import Logistic
from app.algorithms.progress import ProgressCallback, ignore, part
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_uncertainty import RatingUncertainty
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.two_tower import TwoTower
from app.snapshots.segments import RatingFold, prior_parts
from app.snapshots.towers import TowersFold
from app.training.cold_start import extend_to_unrated
from app.training.engagement import labelled_from
from app.training.errors import TrainingFailedError
from app.training.learned import Learned, LearnedSegment
from app.training.recipe import ENGAGEMENT, PRIOR, RATING, TASTE, TOWERS, Recipe, SegmentRecipe


def fit(
    recipe: Recipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
) -> Learned:
    """Learn every segment of `recipe`, none of them `auto`, from `ratings`.

    Items nobody rated get zero learned columns and the prior of no ratings. Raises `TrainingFailedError` where an
    algorithm gives up.
    """
    n = len(recipe.segments)
    segments = tuple(
        fit_segment(segment, ratings, segment_rng, part(progress, done / n, (done + 1) / n, segment.name))
        for done, (segment, segment_rng) in enumerate(zip(recipe.segments, rng.spawn(n), strict=True))
    )
    learned = Learned.of(segments, ratings)
    return extend_to_unrated(learned, ratings)


def fit_segment(
    segment: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
) -> LearnedSegment:
    """One segment learned. Raises `TrainingFailedError`."""
    try:
        return FITS[segment.name](segment, ratings, rng, progress)
    except AlgorithmError as error:
        raise TrainingFailedError(f"{segment.algorithm}: {error}") from error


def fit_rating(
    segment: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
) -> LearnedSegment:
    """[q_i | b_i] and [p_u | 1]; learners return the fold-in of every user against their final item side."""
    vectors = make_rating_learner(segment.algorithm, segment.hyperparameters).fit(ratings, rng, progress)
    spread = vectors.uncertainty or RatingUncertainty.constant(
        _error(vectors, ratings), ratings.n_users, ratings.n_items
    )
    fold = RatingFold.of(vectors, spread)
    item_part = np.hstack([vectors.item_factors, vectors.item_biases[:, None]])
    return LearnedSegment(
        recipe=segment,
        item_part=item_part,
        user_part=fold.parts(vectors.user_factors),
        unrated_item=np.zeros(item_part.shape[1], np.float32),
        numbers=fold.numbers,
        arrays=fold.arrays,
        vectors=replace(vectors, uncertainty=spread),
    )


def _error(vectors: RatingVectors, ratings: RatingMatrix) -> float:
    """The root mean squared error on the ratings learned from: too small, but all there is without a hold-out."""
    left = ratings.values - vectors.predict(ratings.user_rows, ratings.item_rows)
    return float(np.sqrt(np.mean(left**2, dtype=np.float64))) if len(left) else 0.0


def fit_taste(
    segment: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
) -> LearnedSegment:
    """y_i and x_u, every user folded in against the final item side."""
    vectors = make_taste_learner(segment.algorithm, segment.hyperparameters).fit(ratings, rng, progress)
    return LearnedSegment(
        recipe=segment,
        item_part=vectors.item_factors,
        user_part=vectors.user_factors,
        unrated_item=np.zeros(vectors.item_factors.shape[1], np.float32),
        numbers=vectors.numbers,
        arrays={"gram": vectors.gram},
    )


def fit_towers(
    segment: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
) -> LearnedSegment:
    """v_i and v_u, those without ratings by their features; the mean of the rated ones where nothing is known."""
    vectors = build(TwoTower, segment.hyperparameters).fit(ratings, rng, progress)
    features: Any = ratings.features  # there are some, or the fit would have raised
    item_part, unknown_item = _known(vectors.item_vectors, features.items, ratings.item_counts)
    user_part, unknown_user = _known(vectors.user_vectors, features.users, ratings.user_counts)
    fold = TowersFold.of(vectors, unknown_user)
    return LearnedSegment(
        recipe=segment,
        item_part=item_part,
        user_part=user_part,
        unrated_item=unknown_item,
        numbers=fold.numbers,
        arrays=fold.arrays,
    )


def _known(
    vectors: NDArray[np.float32], features: sparse.csr_array, counts: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`vectors`, those of rows without ratings and features replaced by the mean of the rated ones; and that mean."""
    mean = vectors[counts > 0].mean(axis=0)
    is_known = (counts > 0) | (np.diff(features.indptr) > 0)
    return np.where(is_known[:, None], vectors, mean), mean


def fit_engagement(
    segment: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
) -> LearnedSegment:
    """[x_i | b_i] and [p_u | 1], every user folded in against the final item side."""
    learner, liked_from = build(Logistic, segment.hyperparameters), labelled_from(ratings)
    if liked_from is None:
        raise TrainingFailedError(f"{segment.algorithm}: no event says what anybody met")
    liked_from = liked_from if learner.threshold is None else learner.threshold
    odds = replace(learner, threshold=None).fit(ratings.as_labels(liked_from), rng, progress).log_odds
    item_part = np.hstack([odds.item_factors, odds.item_biases[:, None]])
    return LearnedSegment(
        recipe=segment,
        item_part=item_part,
        user_part=RatingFold.parts(odds.user_factors),
        unrated_item=np.zeros(item_part.shape[1], np.float32),
        numbers=EngagementFoldIn(odds.mean, odds.regularization, liked_from).numbers,
    )


def fit_prior(
    segment: SegmentRecipe, ratings: RatingMatrix, _rng: np.random.Generator, _tell: ProgressCallback
) -> LearnedSegment:
    """prior_i = log(1 + n_i), standardised over the items anybody chose, so that a long tail changes no list.

    n_i: the users who rated the item or were engaged by it.
    """
    counts = ratings.item_choice_counts
    of_rated = np.log1p(counts[counts > 0]) if counts.any() else np.zeros(1)
    spread = of_rated.std() or 1.0  # where all are equally popular, the prior is 0 everywhere
    prior = np.log1p(np.append(counts, 0))
    standardised = ((prior - of_rated.mean()) / spread).astype(np.float32)[:, None]
    return LearnedSegment(
        recipe=segment,
        item_part=standardised[:-1],
        user_part=prior_parts(ratings.n_users),
        unrated_item=standardised[-1],
    )


FITS: dict[str, Callable[[SegmentRecipe, RatingMatrix, np.random.Generator, ProgressCallback], LearnedSegment]] = {
    RATING: fit_rating,
    TASTE: fit_taste,
    TOWERS: fit_towers,
    ENGAGEMENT: fit_engagement,
    PRIOR: fit_prior,
}
