import numpy as np
import pytest

from app.algorithms.by_name import RATING_LEARNERS
from app.segments.base import AUTO, LEAST_WEIGHT, SegmentFitError
from app.segments.rating import RatingSegment
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
