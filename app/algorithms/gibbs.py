"""The Gibbs sampler of a factorisation with biases: every sweep draws each group of unknowns given all others.

R. Salakhutdinov, A. Mnih, "Bayesian Probabilistic Matrix Factorization using Markov Chain Monte Carlo" (2008), with the
biases as part of the vectors and a noise precision per user, because some users rate more consistently than others:

    t_ui ~ N(b_u + b_i + p_u . q_i, 1 / w_u),   (p_u, b_u) ~ N(m_U, L_U^-1),   (q_i, b_i) ~ N(m_V, L_V^-1)
    (m_U, L_U), (m_V, L_V) ~ Normal-Wishart,    w_u ~ Gamma(a, b)

Targets t are ratings standardised to mean 0 and variance 1. In this unit the hyperpriors are vague, so there is nothing
to tune. Complexity: O(n_ratings k^2 + (n_users + n_items) k^3) per sweep, k the factors of one draw.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import gammaln

from app.algorithms.gibbs_kernel import RowConditionals, draw_rows, sum_squared_errors
from app.algorithms.rating_matrix import RatingMatrix

# Standard deviation of the initial p . q, in units of that of the ratings. Much smaller values take long to grow.
INITIAL_STD = 0.25

# beta_0 of the paper: the weight, in rows, of the mean of the Normal-Wishart hyperprior.
PRIOR_ROWS = 2.0

# Ratings are rounded, so no user's noise variance is below 1e-4 of the variance of the ratings.
MAX_NOISE_PRECISION = 1e4

# The grid for the shape a: the prior of a user's noise weighs 2 a, that is 2 to 2,000, ratings.
NOISE_SHAPES = 2.0 ** np.arange(0, 10.5, 0.5)

TASKS_PER_THREAD = 4

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


class GibbsChain:
    """The state of the Markov chain. One extra item without ratings, the last, stands for future items.

    `users`, `items`: (n_users, k + 1), (n_items + 1, k + 1) float32, the last draw of factors and bias.
    `user_means`, `item_means`: of the same shapes, the conditional expectations that the draws were made around.
        A sweep makes new arrays of these four, so earlier ones may be kept without a copy.
    `noise_precisions`: (n_users,) float64, w_u. `noise_prior`: its shape a and rate b.
    `squared_errors`: (n_users,) float64, sum (t - b_u - b_i - p_u . q_i)^2 over the ratings of each user.
    """

    def __init__(
        self, ratings: RatingMatrix, targets: Float32Array, n_dimensions: int, rng: np.random.Generator
    ) -> None:
        """`targets`: (n,) float32, the ratings with mean 0 and variance 1. `n_dimensions`: k."""
        standardised = RatingMatrix(ratings.n_users, ratings.n_items + 1, ratings.user_rows, ratings.item_rows, targets)
        self.by_user, self.by_item = standardised.by_user, standardised.by_item
        # Both sides start at random; the first sweep draws the users given these items.
        self.users, self.items = (_draw_start(n, n_dimensions, rng) for n in self.by_user.shape)
        self.user_means, self.item_means = self.users, self.items
        self.is_user_rated, self.is_item_rated = standardised.user_counts > 0, standardised.item_counts > 0
        self.user_counts = standardised.user_counts
        self.noise_precisions = np.ones(ratings.n_users)
        self.noise_prior = 1.0, 1.0
        self.squared_errors = np.empty(ratings.n_users)

    @property
    def noise(self) -> float:
        """The mean squared error of the last draw over all ratings."""
        return float(self.squared_errors.sum() / self.user_counts.sum())

    def sweep(self, rng: np.random.Generator, pool: ThreadPoolExecutor, n_threads: int) -> None:
        """Draw users, items, hyperparameters and noise once; the draw does not depend on the number of threads."""
        # A rating of user u weighs w_u. The kernel takes square roots, because it scales the features f by w^1/2.
        share_out = partial(_share_out, pool, n_threads)
        roots, ones = np.sqrt(self.noise_precisions), np.ones(len(self.items))
        # (p_u, b_u) | items, hyperparameters. The normals are drawn here, in one call, so that the threads need no
        # generator of their own and the result does not depend on how the rows are shared out.
        of_users = _side(self.by_user, self.items, (roots, ones), self.users[self.is_user_rated], rng)
        users, means = rng.standard_normal(self.users.shape, np.float32), np.empty_like(self.users)
        share_out(of_users, lambda first, past: draw_rows(first, past, of_users, users, means))
        self.users, self.user_means = users, means

        # (q_i, b_i) | the users just drawn, hyperparameters
        of_items = _side(self.by_item, users, (ones, roots), self.items[self.is_item_rated], rng)
        items, item_means = rng.standard_normal(self.items.shape, np.float32), np.empty_like(self.items)
        share_out(of_items, lambda first, past: draw_rows(first, past, of_items, items, item_means))
        self.items, self.item_means = items, item_means

        # Residuals of the new draw of both sides, by user
        drawn, errors = of_users._replace(fixed=items), np.empty_like(self.squared_errors)
        share_out(drawn, lambda first, past: sum_squared_errors(first, past, drawn, users, errors))
        self.squared_errors = errors
        self.noise_prior = shape, rate = draw_noise_prior(self.noise_precisions[self.is_user_rated], rng)
        # w_u ~ Gamma(a + m_u / 2, b + sum e^2 / 2)
        precisions = rng.gamma(shape + self.user_counts / 2) / (rate + self.squared_errors / 2)
        self.noise_precisions = np.minimum(precisions, MAX_NOISE_PRECISION)


def _draw_start(n_rows: int, n_dimensions: int, rng: np.random.Generator) -> Float32Array:
    """Random factors and zero biases, (n_rows, k + 1)."""
    start = np.zeros((n_rows, n_dimensions + 1), np.float32)
    # p . q sums k products of two normals of standard deviation s each, so its own is s^2 sqrt(k) = INITIAL_STD.
    std = np.sqrt(INITIAL_STD / np.sqrt(n_dimensions))
    start[:, :n_dimensions] = std * rng.standard_normal((n_rows, n_dimensions))
    return start


def _side(
    ratings: sparse.csr_array,
    fixed: Float32Array,
    roots: tuple[Float64Array, Float64Array],
    rows: Float32Array,
    rng: np.random.Generator,
) -> RowConditionals:
    """The conditionals of one side; `rows`: its current rows with ratings, given which hyperparameters are drawn."""
    mean, precision = draw_hyperparameters(rows, rng)
    starts = ratings.indptr.astype(np.int64)  # always int64, so that numba compiles one kernel
    return RowConditionals(starts, ratings.indices, ratings.data, fixed, *roots, precision, precision @ mean)


def _share_out(
    pool: ThreadPoolExecutor, n_threads: int, side: RowConditionals, work: Callable[[int, int], None]
) -> None:
    """Run `work(first, past)` over all rows, as several tasks per thread with about equal rows plus ratings."""
    n_tasks = n_threads * TASKS_PER_THREAD if n_threads > 1 else 1
    n_rows = len(side.starts) - 1
    # Cumulative cost of rows: one unit per rating and one per row. Popular items make rows very unequal.
    done = side.starts + np.arange(n_rows + 1)
    bounds = [0, *np.searchsorted(done, done[-1] * np.arange(1, n_tasks) / n_tasks).tolist(), n_rows]
    if n_tasks == 1:
        work(0, n_rows)
    else:
        list(pool.map(work, bounds[:-1], bounds[1:]))


def draw_hyperparameters(
    rows: Float64Array | Float32Array, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    """Draw the mean (k + 1,) and precision (k + 1, k + 1) of rows (n, k + 1) from their Normal-Wishart posterior.

    The hyperprior is the paper's: mean 0 with beta_0 = 2, W_0 = I, nu_0 = k + 1.
    """
    n, width = rows.shape
    rows = rows.astype(np.float64)
    centre = rows.mean(axis=0) if n else np.zeros(width)
    centred = rows - centre
    # W^-1 = W_0^-1 + sum (x - c)(x - c)' + beta_0 n / (beta_0 + n) c c'
    # W_0^-1 = I is one observation of unit size in every direction: vague against any real number of rows.
    inverse = np.eye(width) + centred.T @ centred + PRIOR_ROWS * n / (PRIOR_ROWS + n) * np.outer(centre, centre)
    # L ~ Wishart(W, nu_0 + n): L = root root' with root = chol(W^-1)^-T A, and A the Bartlett factor
    root = np.linalg.inv(np.linalg.cholesky(inverse)).T @ _draw_bartlett(n + width, width, rng)
    # m ~ N(n c / (beta_0 + n), ((beta_0 + n) L)^-1)
    offset = np.linalg.solve(root.T, rng.standard_normal(width)) / np.sqrt(PRIOR_ROWS + n)
    return centre * n / (PRIOR_ROWS + n) + offset, root @ root.T


def _draw_bartlett(degrees: int, width: int, rng: np.random.Generator) -> Float64Array:
    """A, lower triangular, such that A A' ~ Wishart(I, degrees) (M. Bartlett, 1933).

    A_ab ~ N(0, 1) below the diagonal, A_aa^2 ~ chi^2(degrees - a) with a counted from 0.
    """
    drawn = np.tril(rng.standard_normal((width, width)), -1)
    drawn[np.diag_indices(width)] = np.sqrt(rng.chisquare(degrees - np.arange(width)))
    return drawn


def draw_noise_prior(precisions: Float64Array, rng: np.random.Generator) -> tuple[float, float]:
    """Draw shape a and rate b of the noise precisions w (n,): a uniform on NOISE_SHAPES, b ~ Gamma(1, 1)."""
    n, total = len(precisions), float(precisions.sum())
    # With b integrated out:  p(a | w) ~ Gamma(n a + 1) / (1 + sum w)^(n a + 1)  prod w^(a - 1) / Gamma(a)
    a = NOISE_SHAPES
    logs = gammaln(n * a + 1) - (n * a + 1) * np.log1p(total) + a * np.log(precisions).sum() - n * gammaln(a)
    # The maximum is subtracted before exp, which would overflow otherwise.
    probabilities = np.exp(logs - logs.max())
    shape = float(rng.choice(a, p=probabilities / probabilities.sum()))
    # b | a, w ~ Gamma(n a + 1, 1 + sum w)
    return shape, float(rng.gamma(n * shape + 1) / (1 + total))
