"""Which algorithm learns the ratings: the one that predicts held-out ratings best, of those the data can afford."""

import numpy as np

from app.training.exam import Exam
from app.training.fit import fit_segment
from app.training.learned import LearnedSegment
from app.training.progress import Tell, part
from app.training.recipe import RATING, SegmentRecipe, complete

BAYES_UP_TO = 300_000
"""Ratings up to which Gibbs sampling, the better and the slower learner, is tried."""


def choose_rating(inner: Exam, n_ratings: int, rng: np.random.Generator, tell: Tell) -> tuple[LearnedSegment, str]:
    """The segment learned from `inner.train`, and why this one; `n_ratings`: of all that it will learn from."""
    if np.ptp(inner.train.values) == 0:
        return fit_segment(_defaults("biases"), inner.train, rng, tell), "rating by biases: all ratings are equal"
    if n_ratings > BAYES_UP_TO:
        learned = fit_segment(_defaults("funk_svd"), inner.train, rng, tell)
        return learned, f"rating by funk_svd: more than {BAYES_UP_TO:,} ratings"
    bayes_rng, funk_rng = rng.spawn(2)
    bayes = fit_segment(_defaults("bayesian_mf"), inner.train, bayes_rng, part(tell, 0.0, 0.9, "bayesian_mf"))
    funk = fit_segment(_defaults("funk_svd"), inner.train, funk_rng, part(tell, 0.9, 1.0, "funk_svd"))
    error_of_bayes, error_of_funk = _rmse(bayes, inner), _rmse(funk, inner)
    figures = f"RMSE {error_of_bayes:.4f}, funk_svd {error_of_funk:.4f}"
    if error_of_bayes <= error_of_funk:
        return bayes, f"rating by bayesian_mf: {figures} inside the training part"
    return funk, f"rating by funk_svd: bayesian_mf {figures} inside the training part"


def _defaults(algorithm: str) -> SegmentRecipe:
    return complete(RATING, algorithm, {})


def _rmse(segment: LearnedSegment, inner: Exam) -> float:
    if segment.vectors is None:
        raise ValueError("a rating segment has rating vectors")
    return float(np.sqrt(np.mean(inner.errors(segment.vectors) ** 2)))
