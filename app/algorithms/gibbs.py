"""Gibbs sampling of a factorisation with biases: every sweep draws all that is unknown, each part given the rest.

R. Salakhutdinov, A. Mnih, "Bayesian Probabilistic Matrix Factorization using Markov Chain Monte Carlo" (2008), with the
biases inside the vectors and a noise for each user, since some people rate more steadily than others:

    t_ui ~ N(b_u + b_i + p_u . q_i, 1 / w_u),   (p_u, b_u) ~ N(m_U, L_U^-1),   (q_i, b_i) ~ N(m_V, L_V^-1)
    (m_U, L_U), (m_V, L_V) ~ Normal-Wishart,    w_u ~ Gamma(a, b)

Targets t are ratings of mean 0 and variance 1, in which the hyperpriors are vague, so that nothing is left to tune.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import gammaln

from app.algorithms.gibbs_kernel import Side, draw_rows, sum_squared_errors
from app.algorithms.rating_matrix import RatingMatrix

INITIAL_SPREAD = 0.25
"""Standard deviation of the first p . q, in units of that of ratings. Much smaller ones take long to grow."""

PRIOR_ROWS = 2.0
"""The mean of the Normal-Wishart hyperprior weighs as much as this many rows: the paper's beta_0."""

MOST_PRECISION = 1e4
"""Ratings are rounded: no user's noise is taken to be less than this share, 1e-4, of the variance of ratings."""

NOISE_SHAPES = 2.0 ** np.arange(0, 10.5, 0.5)
"""What a may be: the noise of a user is known beforehand as well as from 2 to 2,000 ratings."""

TASKS_PER_THREAD = 4

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]


class Chain:
    """The state of the sampling. One item more than there are, without ratings, stands for items yet to come.

    `users`: (n_users, k + 1), `items`: (n_items + 1, k + 1) float32, the factors and the bias as last drawn.
    `user_means`, `item_means`: alike, their expectation given all else. Every sweep makes new arrays of these four.
    `noise_precisions`: (n_users,), w_u. `noise_prior`: a and b. `squared_errors`: (n_users,), sum (t - ...)^2 over the
    ratings of each; `noise`, its mean over all ratings.
    """

    def __init__(self, ratings: RatingMatrix, targets: Floats, n_dimensions: int, rng: np.random.Generator) -> None:
        """`targets`: (n,) the ratings, of mean 0 and variance 1."""
        standardised = RatingMatrix(ratings.n_users, ratings.n_items + 1, ratings.user_rows, ratings.item_rows, targets)
        self.by_user, self.by_item = standardised.by_user, standardised.by_item
        self.users, self.items = (_draw_start(n, n_dimensions, rng) for n in self.by_user.shape)
        self.user_means, self.item_means = self.users, self.items
        self.is_user_rated, self.is_item_rated = standardised.user_counts > 0, standardised.item_counts > 0
        self.user_counts = standardised.user_counts
        self.noise_precisions = np.ones(ratings.n_users)
        self.noise_prior = 1.0, 1.0
        self.squared_errors = np.empty(ratings.n_users)

    @property
    def noise(self) -> float:
        return float(self.squared_errors.sum() / self.user_counts.sum())

    def sweep(self, rng: np.random.Generator, pool: ThreadPoolExecutor, n_threads: int) -> None:
        """Draw users, items, their hyperparameters, and the noise. The number of threads changes no bit."""
        share_out = partial(_share_out, pool, n_threads)
        roots, ones = np.sqrt(self.noise_precisions), np.ones(len(self.items))
        of_users = _side(self.by_user, self.items, (roots, ones), self.users[self.is_user_rated], rng)
        users, means = rng.standard_normal(self.users.shape, np.float32), np.empty_like(self.users)
        share_out(of_users, lambda first, past: draw_rows(first, past, of_users, users, means))
        self.users, self.user_means = users, means

        of_items = _side(self.by_item, users, (ones, roots), self.items[self.is_item_rated], rng)
        items, item_means = rng.standard_normal(self.items.shape, np.float32), np.empty_like(self.items)
        share_out(of_items, lambda first, past: draw_rows(first, past, of_items, items, item_means))
        self.items, self.item_means = items, item_means

        drawn, errors = of_users._replace(fixed=items), np.empty_like(self.squared_errors)
        share_out(drawn, lambda first, past: sum_squared_errors(first, past, drawn, users, errors))
        self.squared_errors = errors
        self.noise_prior = shape, rate = draw_noise_prior(self.noise_precisions[self.is_user_rated], rng)
        # w_u ~ Gamma(a + m_u / 2, b + sum e^2 / 2)
        precisions = rng.gamma(shape + self.user_counts / 2) / (rate + self.squared_errors / 2)
        self.noise_precisions = np.minimum(precisions, MOST_PRECISION)


def _draw_start(n_rows: int, n_dimensions: int, rng: np.random.Generator) -> Floats:
    start = np.zeros((n_rows, n_dimensions + 1), np.float32)
    spread = np.sqrt(INITIAL_SPREAD / np.sqrt(n_dimensions))
    start[:, :n_dimensions] = spread * rng.standard_normal((n_rows, n_dimensions))
    return start


def _side(
    ratings: sparse.csr_array, fixed: Floats, roots: tuple[Wide, Wide], rows: Floats, rng: np.random.Generator
) -> Side:
    """The side to draw anew, its hyperparameters drawn given the `rows` it has now."""
    mean, precision = draw_hyperparameters(rows, rng)
    starts = ratings.indptr.astype(np.int64)  # of one type, whatever scipy chose: a kernel compiled, not two
    return Side(starts, ratings.indices, ratings.data, fixed, *roots, precision, precision @ mean)


def _share_out(pool: ThreadPoolExecutor, n_threads: int, side: Side, work: Callable[[int, int], None]) -> None:
    """`work` on all rows; every thread has several tasks of about as many rows and ratings."""
    n_tasks = n_threads * TASKS_PER_THREAD if n_threads > 1 else 1
    n_rows = len(side.starts) - 1
    done = side.starts + np.arange(n_rows + 1)
    bounds = [0, *np.searchsorted(done, done[-1] * np.arange(1, n_tasks) / n_tasks).tolist(), n_rows]
    if n_tasks == 1:
        work(0, n_rows)
    else:
        list(pool.map(work, bounds[:-1], bounds[1:]))


def draw_hyperparameters(rows: Wide | Floats, rng: np.random.Generator) -> tuple[Wide, Wide]:
    """Mean (k + 1,) and precision (k + 1, k + 1) of rows (n, k + 1), from the Normal-Wishart they leave behind.

    The hyperprior is the paper's: mean 0 with the weight of two rows, W_0 = I, nu_0 = k + 1.
    """
    n, width = rows.shape
    rows = rows.astype(np.float64)
    centre = rows.mean(axis=0) if n else np.zeros(width)
    centred = rows - centre
    # W^-1 = W_0^-1 + sum (x - c)(x - c)' + beta_0 n / (beta_0 + n) c c'
    inverse = np.eye(width) + centred.T @ centred + PRIOR_ROWS * n / (PRIOR_ROWS + n) * np.outer(centre, centre)
    root = np.linalg.inv(np.linalg.cholesky(inverse)).T @ _draw_bartlett(n + width, width, rng)
    # L = root root';   m ~ N(n c / (beta_0 + n), ((beta_0 + n) L)^-1)
    spread = np.linalg.solve(root.T, rng.standard_normal(width)) / np.sqrt(PRIOR_ROWS + n)
    return centre * n / (PRIOR_ROWS + n) + spread, root @ root.T


def _draw_bartlett(degrees: int, width: int, rng: np.random.Generator) -> Wide:
    """A, lower triangular: A A' has the Wishart distribution of I with so many degrees of freedom (Bartlett 1933)."""
    drawn = np.tril(rng.standard_normal((width, width)), -1)
    drawn[np.diag_indices(width)] = np.sqrt(rng.chisquare(degrees - np.arange(width)))
    return drawn


def draw_noise_prior(precisions: Wide, rng: np.random.Generator) -> tuple[float, float]:
    """Shape a and rate b of the noise precisions (n,) of users: a uniform over NOISE_SHAPES, b ~ Gamma(1, 1)."""
    n, total = len(precisions), float(precisions.sum())
    # p(a | w) ~ Gamma(n a + 1) / (1 + sum w)^(n a + 1)  prod w^(a - 1) / Gamma(a),   b being integrated out
    a = NOISE_SHAPES
    logs = gammaln(n * a + 1) - (n * a + 1) * np.log1p(total) + a * np.log(precisions).sum() - n * gammaln(a)
    chances = np.exp(logs - logs.max())
    shape = float(rng.choice(a, p=chances / chances.sum()))
    return shape, float(rng.gamma(n * shape + 1) / (1 + total))
