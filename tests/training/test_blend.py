import numpy as np

from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.store.ratings import TrainingData
from app.training.blend import GRID, UNLEARNED, learn_weights
from app.training.dataset import hold_out, to_rows
from app.training.measure import Exam
from app.training.recipe import rating_recipe
from tests.support.tastes import tasteful_ratings
from tests.support.training_data import training_data


def exam_of(ratings: RatingMatrix) -> Exam:
    rng = np.random.default_rng(0)
    return Exam.draw(*hold_out(ratings, 0.2, rng), RatingScale(), rng)


def shuffled_values(data: TrainingData) -> TrainingData:
    values = np.random.default_rng(0).permutation(data.ratings.value)
    data.ratings.value[:] = values
    return data


def test_taste_gets_weight() -> None:
    exam = exam_of(to_rows(training_data(tasteful_ratings())))
    weights = learn_weights(rating_recipe("funk_svd"), exam, np.random.default_rng(0))
    assert weights["prior"] == 1.0
    assert weights["rating"] > GRID[0]


def test_same_for_same_seed() -> None:
    exam = exam_of(to_rows(training_data(tasteful_ratings())))
    first, second = (learn_weights(rating_recipe("funk_svd"), exam, np.random.default_rng(0)) for _ in range(2))
    assert first == second


def test_too_few_to_learn_from() -> None:
    exam = exam_of(to_rows(training_data(tasteful_ratings(n_users=5, n_each=2))))
    weights = learn_weights(rating_recipe("funk_svd"), exam, np.random.default_rng(0))
    assert weights == {"rating": UNLEARNED, "prior": 1.0}
