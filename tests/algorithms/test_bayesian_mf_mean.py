import numpy as np

from app.algorithms.bayesian_mf_mean import PosteriorMean, _centred
from app.algorithms.rating_matrix import RatingMatrix
from tests.support.known_ratings import ratings_of_rank


def test_centring_changes_no_prediction() -> None:
    rng = np.random.default_rng(0)
    x, item_biases, q = rng.normal(1, 1, (9, 4)), rng.normal(1, 1, 6), rng.normal(1, 1, (6, 3))
    is_rated = np.arange(9) < 7
    mean, centred, biases, factors = _centred(x, item_biases, q, is_rated)
    predicted = mean + centred[:, -1:] + biases + centred[:, :-1] @ factors.T
    np.testing.assert_allclose(predicted, (x[:, -1:] + item_biases + x[:, :-1] @ q.T)[:, :-1])
    np.testing.assert_allclose(centred[is_rated].mean(axis=0), 0, atol=1e-12)
    # Neither the mean user nor an item yet to come: mean alone.
    user = x[is_rated].mean(axis=0)
    np.testing.assert_allclose(mean, user[-1] + item_biases[-1] + user[:-1] @ q[-1])


def test_targets_are_standardised() -> None:
    mean = PosteriorMean(ratings_of_rank().train, 4)
    np.testing.assert_allclose([mean.targets.mean(), mean.targets.std()], [0, 1], atol=1e-5)


def test_without_draws_the_mean() -> None:
    learned = PosteriorMean(RatingMatrix(3, 2, [0, 1], [0, 0], [2.0, 4.0]), 4).vectors()
    np.testing.assert_allclose(learned.predict(np.arange(3), np.array([0, 1, 1])), 3.0)
