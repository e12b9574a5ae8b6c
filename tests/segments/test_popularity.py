import numpy as np
import pytest

from app.algorithms.decayed_counts import DAY
from app.algorithms.errors import InvalidHyperparameterError
from app.algorithms.progress import ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.segments.base import LearnedSegment, SegmentRecipe
from app.segments.popularity import PopularitySegment, popularity_part
from app.training.validation_split import ValidationSplit
from tests.segments.contract import SegmentContract
from tests.support.choices import passing_fashions


class TestPopularitySegment(SegmentContract):
    segment = PopularitySegment()
    algorithm = "popularity"


def test_part_is_standardised() -> None:
    part, unrated = popularity_part(np.array([0.0, 3, 7, 20]), np.arange(4) > 0)
    assert part[1:].mean() == pytest.approx(0, abs=1e-6)
    assert part[1:].std() == pytest.approx(1, rel=1e-6)
    assert part[0] == unrated < part[1]


def test_nothing_chosen() -> None:
    part, unrated = popularity_part(np.zeros(3), np.zeros(3, np.bool_))
    np.testing.assert_array_equal(part, 0)
    assert unrated == 0


def test_faded_is_as_unpopular_as_new() -> None:
    ratings = RatingMatrix(3, 3, [0, 1, 2], [0, 1, 1], [5, 5, 5], np.array([0, 99, 100]) * DAY)
    learned = PopularitySegment().fit(recipe(0.01), ratings, np.random.default_rng(0))
    assert learned.item_part[0] == learned.item_part[2] == learned.unrated_item < learned.item_part[1]
    assert np.isfinite(learned.item_part).all()


def recipe(half_life_days: float | None) -> SegmentRecipe:
    return PopularitySegment().complete("popularity", {"half_life_days": half_life_days})


def choose(ratings: RatingMatrix) -> tuple[LearnedSegment, str]:
    validation = ValidationSplit(ratings, ratings.subset(np.arange(0)), RatingScale(), np.arange(0))
    return PopularitySegment().choose(validation, ratings, np.random.default_rng(0), ignore)


def test_data_choose_half_life() -> None:
    learned, why = choose(passing_fashions())
    assert learned.recipe.algorithm == "popularity"
    assert 0.5 < learned.recipe.hyperparameters["half_life_days"] < 10
    assert why.startswith("popularity of late: a choice counts half after ")


def test_without_times_nothing_decays() -> None:
    fashions = passing_fashions()
    timeless = RatingMatrix(fashions.n_users, fashions.n_items, fashions.user_rows, fashions.item_rows, fashions.values)
    learned, why = choose(timeless)
    assert learned.recipe == recipe(None)
    assert "unknown" in why


@pytest.mark.parametrize("given", [{"half_life_days": 0}, {"half_life_days": True}, {"half_life": 3}])
def test_wrong_hyperparameters(given: dict[str, object]) -> None:
    with pytest.raises(InvalidHyperparameterError, match="half_life_days"):
        PopularitySegment().complete("popularity", given)
