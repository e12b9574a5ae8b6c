from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from app.algorithms.by_name import RATING_LEARNERS
from app.algorithms.errors import FitDivergedError
from app.algorithms.progress import ignore
from app.entities import RatingScale
from app.segments import rating
from app.segments.base import (
    AUTO,
    LEAST_WEIGHT,
    LearnedSegment,
    SegmentDivergedError,
    SegmentFitError,
    SegmentRecipe,
)
from app.segments.rating import RatingSegment
from app.training.validation_split import ValidationSplit
from tests.segments.contract import SegmentContract, described_ratings


class TestFunkSVD(SegmentContract):
    segment = RatingSegment()
    algorithm = "funk_svd"
    hyperparameters = {"n_factors": 4, "n_epochs": 10}
    carried = slice(0, -1)
    optional_arrays = ("precision",)


class TestBayesianMF(SegmentContract):
    segment = RatingSegment()
    algorithm = "bayesian_mf"
    hyperparameters = {"n_factors": 3}
    carried = slice(0, -1)
    optional_arrays = ("precision",)


def test_every_learner_may_learn_it() -> None:
    """The names stand in the segment, since serving imports it without the learners."""
    assert RatingSegment.algorithms == (*sorted(RATING_LEARNERS), AUTO)


def test_unknown_user_expects_item_biases() -> None:
    assert RatingSegment().unknown_part(3).tolist() == [0, 0, 1]
    assert RatingSegment.unknown_weight == LEAST_WEIGHT


def test_failure_names_algorithm() -> None:
    recipe = RatingSegment().complete("content_linear")
    with pytest.raises(SegmentFitError, match=r"content_linear: .*features"):
        RatingSegment().fit(recipe, described_ratings().with_features(None), np.random.default_rng(0))


def diverge_in(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    fit = RatingSegment._fit

    def diverging(self: RatingSegment, recipe: SegmentRecipe, *others: Any) -> LearnedSegment:
        if recipe.algorithm in names:
            raise FitDivergedError("too steep")
        return fit(self, recipe, *others)

    monkeypatch.setattr(RatingSegment, "_fit", diverging)


def test_diverging_candidates_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    ratings = described_ratings()
    split = ValidationSplit(ratings, ratings, RatingScale(1, 5), np.arange(3))
    diverge_in(monkeypatch, "bayesian_mf", "content_linear", "biases")
    learned, choice = RatingSegment().choose(split, ratings, np.random.default_rng(0), ignore)
    assert learned.recipe.algorithm == "funk_svd"
    assert "; dropped, bayesian_mf: too steep; dropped, content_linear: too steep" in choice


def test_many_features_are_tried() -> None:
    """A catalogue with tags has hundreds of columns, which the learner reduces by itself."""
    ratings = described_ratings()
    features = ratings.features
    assert features is not None
    items = sparse.csr_array(sparse.hstack([features.items, sparse.eye_array(ratings.n_items, 500)], dtype=np.float32))
    wide = ratings.with_features(replace(features, items=items))
    split = ValidationSplit(wide, wide, RatingScale(1, 5), np.arange(3))
    _, choice = RatingSegment().choose(split, wide, np.random.default_rng(0), ignore)
    assert ", content_linear " in choice


def test_biases_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    ratings = described_ratings()
    split = ValidationSplit(ratings, ratings, RatingScale(1, 5), np.arange(3))
    diverge_in(monkeypatch, "funk_svd")
    monkeypatch.setattr(rating, "SLOW_UP_TO", len(ratings) - 1)
    learned, choice = RatingSegment().choose(split, ratings, np.random.default_rng(0), ignore)
    assert learned.recipe.algorithm == "biases"
    assert choice == "rating by biases; dropped, funk_svd: too steep"


def test_divergence_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    diverge_in(monkeypatch, "biases")
    with pytest.raises(SegmentDivergedError, match="biases: too steep"):
        RatingSegment().fit(RatingSegment().complete("biases"), described_ratings(), np.random.default_rng(0))
