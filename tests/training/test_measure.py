import numpy as np
import pytest

from app.entities import RatingScale
from app.training.dataset import hold_out, to_rows
from app.training.fit import fit
from app.training.measure import measure
from app.training.recipe import rating_recipe
from app.training.sides import join
from app.training.validation_split import ValidationSplit
from tests.support.choices import passing_fashions
from tests.support.training_data import training_data
from tests.support.user_states import tasteful_ratings


@pytest.fixture(scope="module")
def split() -> ValidationSplit:
    rng = np.random.default_rng(0)
    ratings = to_rows(training_data(tasteful_ratings(), n_unrated=5))
    return ValidationSplit.draw(*hold_out(ratings, 0.2, rng), RatingScale(), rng)


def test_report_has_all_figures(split: ValidationSplit) -> None:
    learned = fit(rating_recipe("funk_svd"), split.train, np.random.default_rng(0))
    report = measure(learned, join(learned, {"rating": 0.5, "popularity": 1.0}), split)
    everything = {"rmse", "mae", "ndcg@10", "recall@10", "coverage@10"}
    assert report.by_name.keys() == {"snapshot", "bestsellers", "recent", "biases"}
    assert report.snapshot.values.keys() == report.by_name["biases"].values.keys() == everything
    assert report.bestsellers.values.keys() == report.recent.values.keys() == everything - {"rmse", "mae"}
    assert report.ndcg_of_users.mean() == pytest.approx(report.snapshot.values["ndcg@10"])
    assert len(report.ndcg_of_users) == len(split.user_rows)
    low, high = report.snapshot.intervals["ndcg@10"]
    assert low < report.snapshot.values["ndcg@10"] < high
    low, high = report.snapshot.intervals["rmse"]
    assert low < report.snapshot.values["rmse"] < high
    assert report.is_finite


def test_prior_alone_is_bestsellers(split: ValidationSplit) -> None:
    learned = fit(rating_recipe("biases"), split.train, np.random.default_rng(0))
    report = measure(learned, join(learned, {"rating": 1e-7, "popularity": 1.0}), split)
    assert report.snapshot.values["ndcg@10"] == pytest.approx(report.bestsellers.values["ndcg@10"], abs=0.01)
    assert report.snapshot.values["rmse"] == pytest.approx(report.by_name["biases"].values["rmse"], abs=1e-4)


def test_popular_of_late() -> None:
    rng = np.random.default_rng(0)
    fashions = ValidationSplit.draw(*hold_out(passing_fashions(), 0.2, rng), RatingScale(), rng)
    learned = fit(rating_recipe("biases"), fashions.train, rng)
    report = measure(learned, join(learned, {"rating": 1e-7, "popularity": 1.0}), fashions)
    assert report.recent.values["ndcg@10"] > 1.5 * report.bestsellers.values["ndcg@10"]
    assert report.recent_half_life_days is not None


def test_users_by_lot(split: ValidationSplit) -> None:
    drawn = ValidationSplit.draw(split.train, split.holdout, split.scale, np.random.default_rng(0), max_users=10)
    assert len(drawn.user_rows) == 10
    assert set(drawn.user_rows) <= set(split.user_rows)


def test_nobody_likes_anything() -> None:
    incoming = tasteful_ratings(n_users=5)
    incoming.value[:] = 1.0
    rng = np.random.default_rng(0)
    dull = ValidationSplit.draw(*hold_out(to_rows(training_data(incoming)), 0.2, rng), RatingScale(), rng)
    assert not dull.is_measurable
    assert str(dull.unmeasured).endswith("ratings held out is liked, which takes at least 4")
