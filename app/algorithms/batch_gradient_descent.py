"""Batch gradient descent for a factorisation: one step from the gradient over all ratings. Slow, and easy to read.

The reference that the compiled Funk SVD is tested against. Minimised, over observed ratings only:

    1/2 sum_ui (r^_ui - r_ui)^2 + 1/2 (sum_u penalty_u |p_u|^2 + sum_i penalty_i |q_i|^2) + bias_penalty/2 (sum b^2)

Each parameter moves by the learning rate alpha against its derivative, with e = r^ - r:

    P_ab = P_ab - alpha (sum_j e_aj Q_jb + penalty_a P_ab)      Q and the biases likewise

The penalties of the rows are those of `fold_in`. Complexity: O(n_ratings n_factors) per epoch, thousands of epochs.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.errors import FitDivergedError
from app.algorithms.fold_in import PRIOR_RATINGS
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.progress import ProgressCallback, ignore, report_epoch
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class Factors:
    """P (n_users, k), Q (n_items, k) and the biases (n_users,), (n_items,), float64.

    Textbooks often write Q as (k, n_items); here every item is a row.
    """

    user_factors: FloatArray
    item_factors: FloatArray
    user_biases: FloatArray
    item_biases: FloatArray

    def predict(self, mean: float, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer]) -> FloatArray:
        """The predicted rating of each pair: (n,) rows each -> (n,) float64."""
        # r^_ui = mu + b_u + b_i + row_u(P) . row_i(Q)
        dots = np.sum(self.user_factors[user_rows] * self.item_factors[item_rows], axis=1)
        predicted: FloatArray = mean + self.user_biases[user_rows] + self.item_biases[item_rows] + dots
        return predicted


def batch_step(
    factors: Factors,
    ratings: RatingMatrix,
    mean: float,
    learning_rate: float,
    user_penalties: FloatArray | float = 0.0,
    item_penalties: FloatArray | float = 0.0,
    bias_penalty: float = 0.0,
    *,
    biased: bool = False,
) -> Factors:
    """One step of all parameters at once, from the errors before the step.

    `user_penalties`: (n_users, 1), `item_penalties`: (n_items, 1), or one number for all rows. The biases move only
    with `biased`. Returns new arrays.
    """
    # e_ui = r^_ui - r_ui, for observed cells only: a missing cell is unknown, not 0, and has no error.
    errors = factors.predict(mean, ratings.user_rows, ratings.item_rows) - ratings.values
    # E, sparse: observed cells alone enter E Q and E'P.
    error_matrix = sparse.csr_array(
        (errors, (ratings.user_rows, ratings.item_rows)), shape=(ratings.n_users, ratings.n_items)
    )
    # P = P - alpha (E Q + penalty P);   Q = Q - alpha (E' P + penalty Q)
    user_gradient = error_matrix @ factors.item_factors + user_penalties * factors.user_factors
    item_gradient = error_matrix.T @ factors.user_factors + item_penalties * factors.item_factors
    stepped = replace(
        factors,
        user_factors=factors.user_factors - learning_rate * user_gradient,
        item_factors=factors.item_factors - learning_rate * item_gradient,
    )
    if not biased:
        return stepped
    # b_u = b_u - alpha (sum_i e_ui + penalty b_u), and for items the column sums
    user_bias_gradient = error_matrix.sum(axis=1) + bias_penalty * factors.user_biases
    item_bias_gradient = error_matrix.sum(axis=0) + bias_penalty * factors.item_biases
    return replace(
        stepped,
        user_biases=factors.user_biases - learning_rate * user_bias_gradient,
        item_biases=factors.item_biases - learning_rate * item_bias_gradient,
    )


@dataclass(frozen=True)
class BatchGradientDescent:
    """A reference for tests and readers: hundreds of times slower than `FunkSVD` and not registered by name.

    `n_factors`: length of p_u and q_i.
    `n_epochs`: gradient steps.
    `learning_rate`: alpha times the number of ratings of the largest row, so that one value suits all data sizes.
    `regularization`: penalty weight of one rating.
    `biased`: whether mu, b_u and b_i are learned.
    """

    n_factors: int = hyperparameter(2, low=1, high=4096)
    n_epochs: int = hyperparameter(2000, low=1, high=1_000_000)
    learning_rate: float = hyperparameter(0.5, low=0.0, high=1e6)
    regularization: float = hyperparameter(0.05, low=0.0, high=1e6)
    biased: bool = hyperparameter(default=True)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
    ) -> RatingVectors:
        """Rating vectors as the descent leaves them, without a fold-in. Raises `FitDivergedError`."""
        mean = float(ratings.values.mean(dtype=np.float64)) if self.biased and len(ratings) else 0.0
        # Random and small: at P = Q = 0 the gradient of both is 0, and nothing would ever move.
        factors = Factors(
            user_factors=rng.standard_normal((ratings.n_users, self.n_factors)) * 0.1,
            item_factors=rng.standard_normal((ratings.n_items, self.n_factors)) * 0.1,
            user_biases=np.zeros(ratings.n_users),
            item_biases=np.zeros(ratings.n_items),
        )
        user_penalties, item_penalties = (
            self.regularization * (counts[:, None] + PRIOR_RATINGS)
            for counts in (ratings.user_counts, ratings.item_counts)
        )
        # The curvature of the objective along a row grows with the number of its ratings, and so must 1 / alpha.
        largest = max(1, ratings.user_counts.max(initial=1), ratings.item_counts.max(initial=1))
        rate, bias_penalty = self.learning_rate / largest, self.regularization * PRIOR_RATINGS
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is detected below
            for epoch in range(self.n_epochs):
                factors = batch_step(
                    factors, ratings, mean, rate, user_penalties, item_penalties, bias_penalty, biased=self.biased
                )
                if not np.isfinite(factors.user_factors).all():
                    raise FitDivergedError(f"not finite in epoch {epoch + 1}; try a smaller learning_rate")
                report_epoch(progress, "batch_gradient_descent", epoch, self.n_epochs)
        # Rows without ratings only decayed from their random start; by contract they are 0.
        user_is_rated, item_is_rated = ratings.user_counts > 0, ratings.item_counts > 0
        return RatingVectors(
            mean=mean,
            user_biases=factors.user_biases.astype(np.float32),
            item_biases=factors.item_biases.astype(np.float32),
            user_factors=(factors.user_factors * user_is_rated[:, None]).astype(np.float32),
            item_factors=(factors.item_factors * item_is_rated[:, None]).astype(np.float32),
            regularization=self.regularization,
            biased=self.biased,
            fallback=float(ratings.values.mean(dtype=np.float64)) if len(ratings) else 0.0,
        ).checked()
