from typing import Any

import numpy as np
import pytest

from app.algorithms.batch_gradient_descent import BatchGradientDescent, Factors, batch_step
from app.algorithms.block_sgd import BlockGrid, BlockRatings, draw_weights
from app.algorithms.errors import FitDivergedError
from app.algorithms.fold_in import PRIOR_RATINGS
from app.algorithms.funk_svd import FunkSVD
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.sgd_kernel import StepSizes
from tests.support.known_ratings import ratings_of_rank


def standardised(ratings: RatingMatrix) -> RatingMatrix:
    values = (ratings.values - ratings.values.mean()) / ratings.values.std()
    return RatingMatrix(ratings.n_users, ratings.n_items, ratings.user_rows, ratings.item_rows, values)


def test_kernel_follows_the_gradient() -> None:
    # So short are the steps that within an epoch nothing moves: their sum is one batch step of the same length.
    ratings = ratings_of_rank(n_users=30, n_items=25).train
    rng = np.random.default_rng(0)
    grid = BlockGrid.draw(ratings, rng, biased=True)
    weights = draw_weights(30, 25, 16, rng)
    for array in weights:
        array[:] = rng.normal(0, 0.3, array.shape)
    places: Any = [np.arange(30), grid.item_places] * 2
    before = Factors(*(array[place].astype(np.float64) for array, place in zip(weights, places, strict=True)))
    rate, regularization = 1e-4, 0.05
    steps = StepSizes(np.float32(rate), np.float32(rate), np.float32(regularization))
    BlockRatings(ratings, np.ones(len(ratings), np.bool_), grid).epoch(weights, steps, rng)
    expected = batch_step(
        before,
        standardised(ratings),
        mean=0.0,
        learning_rate=rate,
        user_penalties=regularization * (ratings.user_counts[:, None] + PRIOR_RATINGS),
        item_penalties=regularization * (ratings.item_counts[:, None] + PRIOR_RATINGS),
        bias_penalty=regularization * PRIOR_RATINGS,
        biased=True,
    )
    for name, place in zip(Factors.__dataclass_fields__, places, strict=True):
        moved = getattr(weights, name)[place] - getattr(before, name)
        np.testing.assert_allclose(moved, getattr(expected, name) - getattr(before, name), atol=2e-2 * abs(moved).max())


@pytest.mark.parametrize("biased", [True, False])
def test_fast_and_slow_agree(biased: bool) -> None:
    known = ratings_of_rank(rank=2, n_users=80, n_items=60, noise=0.3, density=0.8)
    fast = FunkSVD(n_factors=2, n_epochs=300, biased=biased).fit(known.train, np.random.default_rng(0))
    scale = float(known.train.values.std() if biased else np.sqrt(np.mean(known.train.values**2)))
    scaled = RatingMatrix(80, 60, known.train.user_rows, known.train.item_rows, known.train.values / scale)
    slow = BatchGradientDescent(regularization=fast.regularization, biased=biased).fit(scaled, np.random.default_rng(1))
    users, items = known.test.user_rows, known.test.item_rows
    np.testing.assert_allclose(fast.predict(users, items), slow.predict(users, items) * scale, atol=0.1)


def test_divergence_is_an_error() -> None:
    with pytest.raises(FitDivergedError, match="learning_rate"):
        BatchGradientDescent(learning_rate=1e5).fit(ratings_of_rank().train, np.random.default_rng(0))


def test_cost_falls_every_epoch() -> None:
    ratings = ratings_of_rank(n_users=30, n_items=20).train
    costs = []
    for n_epochs in (1, 10, 100, 1000):
        learned: Any = BatchGradientDescent(n_epochs=n_epochs, regularization=0.0).fit(
            ratings, np.random.default_rng(0)
        )
        errors = learned.predict(ratings.user_rows, ratings.item_rows) - ratings.values
        costs.append(float(np.mean(errors**2)))
    assert costs == sorted(costs, reverse=True)
