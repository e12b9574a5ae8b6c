"""Which algorithm learns the ratings: the one that predicts held-out ratings best, of those the data can afford."""

import numpy as np

from app.algorithms.progress import ProgressCallback, part
from app.training.fit import fit_segment
from app.training.learned import LearnedSegment
from app.training.recipe import RATING, SegmentRecipe, complete
from app.training.validation_split import ValidationSplit

SLOW_UP_TO = 300_000
"""Ratings up to which the better and slower learners are tried."""

MAX_FEATURES = 128
"""Columns of features up to which `content_linear` is tried: they become columns of the vectors."""


def choose_rating(
    inner: ValidationSplit, n_ratings: int, rng: np.random.Generator, progress: ProgressCallback
) -> tuple[LearnedSegment, str]:
    """The segment learned from `inner.train`, and why this one; `n_ratings`: of all that it will learn from."""
    names = _candidates(inner, n_ratings)
    if len(names) == 1:
        why = "all ratings are equal" if names == ["biases"] else f"more than {SLOW_UP_TO:,} ratings"
        return fit_segment(_defaults(names[0]), inner.train, rng, progress), f"rating by {names[0]}: {why}"
    learned = [
        fit_segment(
            _defaults(name), inner.train, each, part(progress, done / len(names), (done + 1) / len(names), name)
        )
        for done, (name, each) in enumerate(zip(names, rng.spawn(len(names)), strict=True))
    ]
    errors = [_rmse(segment, inner) for segment in learned]
    best = int(np.argmin(errors))
    figures = ", ".join(f"{name} {error:.4f}" for name, error in zip(names, errors, strict=True))
    return learned[best], f"rating by {names[best]}: RMSE inside the training part {figures}"


def _candidates(inner: ValidationSplit, n_ratings: int) -> list[str]:
    if np.ptp(inner.train.values) == 0:
        return ["biases"]
    if n_ratings > SLOW_UP_TO:
        return ["funk_svd"]
    features = inner.train.features
    is_described = features is not None and 0 < features.items.shape[1] <= MAX_FEATURES
    return ["funk_svd", "bayesian_mf", *(["content_linear"] if is_described else []), "biases"]


def _defaults(algorithm: str) -> SegmentRecipe:
    return complete(RATING, algorithm, {})


def _rmse(segment: LearnedSegment, inner: ValidationSplit) -> float:
    if segment.vectors is None:
        raise ValueError("a rating segment has rating vectors")
    return float(np.sqrt(np.mean(inner.errors(segment.vectors) ** 2)))
