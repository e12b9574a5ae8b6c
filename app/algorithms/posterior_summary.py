"""Summaries of posterior draws that do not grow with their number: mean product, fold-in precision, uncertainty.

1. `MeanProduct`: the mean of the products P Q' of all draws, as one product of few columns.
2. `estimate_precision`: the penalty with which a fold-in reproduces the posterior mean of the users.
3. `PosteriorUncertainty`: the predictive standard deviation of users and items, from the spread of the draws.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_uncertainty import RatingUncertainty, UserUncertainty
from app.algorithms.rating_vectors import RatingVectors

if TYPE_CHECKING:
    from app.algorithms.gibbs import GibbsChain

# Between additions this multiple of the final number of columns is kept, so that early truncations lose next to
# nothing.
SPARE_FACTOR = 2

# Draws are collected and shrunk together, because one SVD of many columns costs less than many SVDs of few. The second
# limit bounds the memory for very many users and items: 2^25 float32 are 128 MB.
MAX_COLUMNS, MAX_NUMBERS = 512, 2**25

# Relative to the largest variance among users: directions with less are treated as having this much.
MIN_VARIANCE = 1e-6

# Stands for a sum of squared residuals of 0.
TINY = 1e-12

_ROWS_PER_BLOCK = 65_536

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


class MeanProduct:
    """The mean of products P Q' of equally weighted samples, as one product of at most `n_columns` columns.

        mean_s p_u^s . q_i^s = [p_u^1 ... p_u^S] / sqrt(S) . [q_i^1 ... q_i^S] / sqrt(S)

    is one product of very many columns, whose numerical rank is little more than that of one sample. Orthogonalising
    both sides and the SVD of the small core between them give the fewest columns with the same product.
    """

    def __init__(self, n_columns: int) -> None:
        self.n_columns = n_columns
        self.n_samples = 0
        self._left: list[Float32Array] = []
        self._right: list[Float32Array] = []

    def add(self, left: Float32Array, right: Float32Array) -> None:
        """Add one sample, (n_users, k) and (n_items, k) float32; the arrays are kept and must not be changed."""
        self._left.append(left)
        self._right.append(right)
        self.n_samples += 1
        n_rows, n_waiting = len(left) + len(right), sum(each.shape[1] for each in self._left)
        n_new = n_waiting - SPARE_FACTOR * self.n_columns
        # Under the memory limit at least as many new columns as kept ones are awaited, or every sample would cost an
        # SVD.
        if n_waiting >= MAX_COLUMNS or (n_waiting * n_rows >= MAX_NUMBERS and n_new >= SPARE_FACTOR * self.n_columns):
            sides = shrink(np.hstack(self._left), np.hstack(self._right), SPARE_FACTOR * self.n_columns)
            self._left, self._right = [sides[0]], [sides[1]]

    def sides(self) -> tuple[Float32Array, Float32Array]:
        """(n_users, c) and (n_items, c) float32 with c <= n_columns, fewer where the mean has a lower rank."""
        left, right = shrink(np.hstack(self._left), np.hstack(self._right), self.n_columns)
        scale = np.float32(1 / math.sqrt(self.n_samples))
        return left * scale, right * scale


def shrink(left: Float32Array, right: Float32Array, n_columns: int) -> tuple[Float32Array, Float32Array]:
    """The best approximation of the product left right', (n, c) and (m, c), by two sides of `n_columns` columns.

    Best in the Frobenius norm (C. Eckart, G. Young, 1936): U s^1/2 and V s^1/2 of its SVD. Fewer columns where the
    product has a lower rank.
    """
    # left = Q_l R_l, right = Q_r R_r;   left right' = Q_l (R_l R_r') Q_r' = (Q_l U) s (Q_r V)'
    (r_left, to_left), (r_right, to_right) = _orthogonal(left), _orthogonal(right)
    u, s, v = np.linalg.svd(r_left @ r_right.T)
    # Singular values below float32 precision are rounding of the float32 sides.
    rank = int(np.sum(s > np.finfo(np.float32).eps * s.max(initial=0.0)))
    n_kept = min(n_columns, rank)
    # s is split evenly, so that both sides have similar lengths.
    roots = np.sqrt(s[:n_kept])
    return (
        left @ (to_left @ u[:, :n_kept] * roots).astype(np.float32),
        right @ (to_right @ v[:n_kept].T * roots).astype(np.float32),
    )


def _orthogonal(side: Float32Array) -> tuple[Float64Array, Float64Array]:
    """R and T with side = Q R and Q = side T, Q orthonormal, from the eigenvectors of the smaller Gram matrix.

    Cheaper than a QR of the whole side, and Q itself is never stored.
    """
    if len(side) < side.shape[1]:
        # side side' = U s^2 U';    R = s V', with V = side' U / s
        wide = side.astype(np.float64)
        squares, left = np.linalg.eigh(wide @ wide.T)
        is_kept = squares > np.finfo(np.float32).eps ** 2 * squares.max(initial=0.0)
        roots = np.sqrt(squares[is_kept])
        directions = wide.T @ left[:, is_kept] / roots
        return (directions * roots).T, directions / roots
    # side' side = V s^2 V';    R = s V',  T = V / s. In float64 and by blocks: the squared singular values span twice
    # the digits of float32, and a float64 copy of the whole side would double its memory.
    square = np.zeros((side.shape[1], side.shape[1]))
    for start in range(0, len(side), _ROWS_PER_BLOCK):
        wide = side[start : start + _ROWS_PER_BLOCK].astype(np.float64)
        square += wide.T @ wide
    squares, directions = np.linalg.eigh(square)
    is_kept = squares > np.finfo(np.float32).eps ** 2 * squares.max(initial=0.0)
    roots = np.sqrt(squares[is_kept])
    return (directions[:, is_kept] * roots).T, directions[:, is_kept] / roots


def estimate_precision(
    users: Float64Array, gradients: Float64Array, counts: NDArray[np.int64], noise: float
) -> Float64Array:
    """The precision (2, k, k), A and B, with which `fold_in` reproduces the posterior means of users; least squares.

    The posterior mean x_u is not the ridge of the user's ratings t on the mean item vectors f: item vectors have
    errors, and they have been fitted to these same ratings. It is close to a ridge whose penalty accounts for both, the
    minimum of

        sum (t - x . f)^2 + x' (A + m B) x,    m the number of ratings.

    There (A + m B) x = g with g = sum f (t - x . f), which is linear in A and B: the pairs (x_u, g_u) determine them.

    `users`: (n, k), x_u of users with ratings, centred at 0. `gradients`: (n, k), g_u. `counts`: (n,), m. `noise`: the
    noise variance. The result is in units of the noise; A is at least noise cov(x)^-1, so that no user may move more
    freely than users were observed to, and B is positive semidefinite.
    """
    n, width = users.shape
    variances, axes = np.linalg.eigh(users.T @ users / max(n, 1))
    largest = variances.max(initial=0.0) or 1.0  # a single user is the mean, at 0
    stds = np.sqrt(np.maximum(variances, MIN_VARIANCE * largest))
    # x = C z with C C' = cov(x), so that z has unit variance in all directions;   g_z = C' g,   A = C^-T A_z C^-1
    to_unit = axes / stds
    z, g, m = users @ to_unit, gradients @ (axes * stds), counts[:, None].astype(np.float64)
    # Minimise sum |g - A z - m B z|^2 / m over A and B. The variance of g_u grows with m, hence the weight 1 / m.
    sides = np.hstack([z / np.sqrt(m), z * np.sqrt(m)])
    square = sides.T @ sides
    # Prior: as if k more users with unit z had been observed under A = noise I, B = 0. It decides where there are few
    # users.
    expected = np.zeros((2 * width, width))
    prior_weights = np.repeat([width * np.mean(1 / m), width * np.mean(m)], width)
    expected[:width] = noise * prior_weights[0] * np.eye(width)
    square.ravel()[:: 2 * width + 1] += prior_weights
    solution = np.linalg.solve(square, sides.T @ (g / np.sqrt(m)) + expected)
    in_unit = _at_least(solution[:width], noise), _at_least(solution[width:], 0.0)
    return np.stack([to_unit @ each @ to_unit.T for each in in_unit])


def _at_least(square: Float64Array, smallest: float) -> Float64Array:
    """The nearest symmetric matrix without an eigenvalue below `smallest`."""
    values, vectors = np.linalg.eigh((square + square.T) / 2)
    raised: Float64Array = vectors * np.maximum(values, smallest) @ vectors.T
    return raised


class PosteriorUncertainty:
    """Accumulates over draws what is needed for the predictive standard deviation; see `rating_uncertainty.py`."""

    def __init__(self, ratings: RatingMatrix) -> None:
        self.ratings = ratings
        self.user_variances, self.item_variances = np.zeros(ratings.n_users), np.zeros(ratings.n_items + 1)
        self.user_noises, self.new_user = np.zeros(ratings.n_users), 0.0
        self.noise_prior = np.zeros(2)
        self.n_draws = 0

    def add(self, chain: "GibbsChain") -> None:
        """Add the variance that one draw shows around its conditional mean, as it appears in predictions."""
        # Predictions are averaged over the ratings: popular items and active users count more.
        item_weights = np.append(self.ratings.item_counts, 0) / len(self.ratings)
        user_weights = self.ratings.user_counts / len(self.ratings)
        self.user_variances += _prediction_variances(chain.users - chain.user_means, chain.items, item_weights)
        self.item_variances += _prediction_variances(chain.items - chain.item_means, chain.users, user_weights)
        # A user without ratings is as far from the mean user as users are on average.
        known = chain.users[chain.is_user_rated]
        self.new_user += float(_prediction_variances(known - known.mean(axis=0), chain.items, item_weights).mean())
        self.user_noises += 1 / chain.noise_precisions
        self.noise_prior += chain.noise_prior
        self.n_draws += 1

    def around(self, vectors: RatingVectors, scale: float) -> RatingUncertainty | None:
        """The uncertainty of the predictions of `vectors`; None without draws.

        `scale`: the standard deviation of the ratings, the unit of the draws.
        """
        if not self.n_draws:
            return None
        ratings, counts = self.ratings, self.ratings.user_counts
        residuals = ratings.values - vectors.predict(ratings.user_rows, ratings.item_rows).astype(np.float64)
        squares = np.bincount(ratings.user_rows, (residuals / scale) ** 2, ratings.n_users)
        # w ~ Gamma(a, b) has mean a / b, so the noise variance is about b / a, known as from 2 a ratings.
        shape, rate = self.noise_prior / self.n_draws
        new_user = self.new_user / self.n_draws
        of_users = UserUncertainty(
            noise=scale * float(np.sqrt(rate / shape)),
            noise_ratings=float(2 * shape),
            # optimism^2 = noise by the draws / squared residuals of the fold-in, both summed over the ratings
            optimism=float(np.sqrt(counts @ self.user_noises / self.n_draws / max(squares.sum(), TINY))),
            new_user=scale * float(np.sqrt(new_user)),
            half_known=_half_known(self.user_variances / self.n_draws, counts, new_user),
        )
        errors = scale * np.sqrt(squares / np.maximum(counts, 1))
        item_std = (scale * np.sqrt(self.item_variances / self.n_draws)).astype(np.float32)
        # The last item stands for future items.
        return RatingUncertainty(
            of_users, of_users.standard_deviations(errors, counts), item_std[:-1], float(item_std[-1])
        )


def _prediction_variances(differences: Float32Array, other_rows: Float32Array, weights: Float64Array) -> Float64Array:
    """The weighted mean of (d . f)^2 over f = (factors, 1) of the other side: (n, k + 1), (m, k + 1), (m,) -> (n,)."""
    # sum_f w (d . f)^2 = d' (sum_f w f f') d
    features = np.hstack([other_rows[:, :-1], np.ones((len(other_rows), 1), np.float32)]).astype(np.float64)
    square = (features.T * weights) @ features
    mean: Float64Array = np.einsum("na,na->n", differences @ square, differences)
    return mean


def _half_known(variances: Float64Array, counts: NDArray[np.int64], new_user: float) -> float:
    """C of v_u = new_user / (1 + m_u / c): each user gives c = m_u v_u / (new_user - v_u), and the median is taken."""
    is_usable = (counts > 0) & (variances < new_user)
    if not is_usable.any():
        return 1.0
    return float(np.median(counts[is_usable] * variances[is_usable] / (new_user - variances[is_usable])))
