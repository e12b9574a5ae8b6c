"""The learning curve: measured as the whole is, bounded by the size of the data, and none of a fallback."""

from dataclasses import replace

import numpy as np
import pytest

from app.algorithms.progress import ignore
from app.entities import RatingScale
from app.training import learning_curve
from app.training.dataset import hold_out, to_rows
from app.training.evaluate_recipe import EvaluatedRecipe, evaluate_recipe
from app.training.learning_curve import with_learning_curve
from app.training.recipe import rating_recipe
from app.training.validation_split import RMSE, ValidationSplit
from tests.support.training_data import training_data
from tests.support.user_states import tasteful_ratings


@pytest.fixture(scope="module")
def split() -> ValidationSplit:
    rng = np.random.default_rng(0)
    ratings = to_rows(training_data(tasteful_ratings()))
    return ValidationSplit.draw(*hold_out(ratings, 0.2, rng), RatingScale(), rng)


@pytest.fixture(scope="module")
def evaluated(split: ValidationSplit) -> EvaluatedRecipe:
    return evaluate_recipe(rating_recipe("funk_svd"), split, np.random.default_rng(0))


def curve_of(evaluated: EvaluatedRecipe, split: ValidationSplit) -> list[tuple[float, float | None]]:
    drawn = with_learning_curve(evaluated, split, np.random.default_rng(0), ignore)
    return [(point.share, point.rmse) for point in drawn.report.diagnosis.curve]


def test_more_is_better(evaluated: EvaluatedRecipe, split: ValidationSplit) -> None:
    curve = curve_of(evaluated, split)
    assert [share for share, _ in curve] == [0.1, 0.25, 0.5, 1.0]
    first, last = curve[0][1], curve[-1][1]
    assert first is not None
    assert last == evaluated.report.snapshot.values[RMSE]
    assert last < first


def test_rest_of_the_report_stays(evaluated: EvaluatedRecipe, split: ValidationSplit) -> None:
    drawn = with_learning_curve(evaluated, split, np.random.default_rng(0), ignore).report
    assert drawn.snapshot == evaluated.report.snapshot
    assert drawn.diagnosis.errors == evaluated.report.diagnosis.errors != ()


def test_none_where_it_costs_much(
    evaluated: EvaluatedRecipe, split: ValidationSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert curve_of(replace(evaluated, reason="it did not pass"), split) == []
    monkeypatch.setattr(learning_curve, "MAX_ITEMS", split.train.n_items - 1)
    assert curve_of(evaluated, split) == []
    monkeypatch.setattr(learning_curve, "MAX_ITEMS", split.train.n_items)
    monkeypatch.setattr(learning_curve, "MAX_RATINGS", len(split.train) - 1)
    assert curve_of(evaluated, split) == []
