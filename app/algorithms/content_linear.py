"""Content-based filtering: per user a linear regression on item features; and its dual, per item on user features.

    r^_ui = mu + b_i + b_u + p_u . x_i,    x_i the given features of item i

with the weights of all users drawn from one normal distribution (a random-effects model):

    (p_u, b_u) ~ N(0, S),    r_ui - mu - b_i ~ N(b_u + p_u . x_i, noise)

S and the noise are estimated by expectation maximisation (N. Laird, J. Ware, "Random-Effects Models for Longitudinal
Data", 1982). The penalty of a user's regression is then noise S^-1, and nothing has to be tuned: weights of features on
which users agree are held near 0, and weights on which they differ are learned from a few ratings. Items without
ratings are represented by their features.

Complexity: O(n_ratings k^2 + n_users k^3) per epoch, with k the feature columns; the estimate of S uses 2,000 users.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from app.algorithms.errors import FeaturesNeededError
from app.algorithms.feature_map import FeatureMap
from app.algorithms.fold_in import fold_in_all
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import Features, RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

# Initial variance that features, user biases and item biases each explain, in units of the variance of the ratings.
INITIAL_VARIANCE = 0.1

# The fit has converged when the noise variance changes by less than this share.
NOISE_TOLERANCE = 1e-3

# Users that the covariance is estimated from, drawn at random: enough for some dozen columns.
MAX_USERS = 2000

# Rounds of expectation maximisation per epoch; the next epoch continues where the last one ended.
N_ROUNDS = 10

# Ratings are rounded, so no fit can explain more than all but this share of their variance.
MIN_NOISE_SHARE = 1e-4

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class ContentLinear:
    """Learns p_u, b_u and b_i for given item features x_i, which become the item factors unchanged.

    `n_factors`: feature columns at most; more are replaced by this many principal components.
    `n_epochs`: alternations of item biases and users, at most.
    `regularization`: multiplies the estimated penalty; 0 is plain least squares.
    `biased`: False leaves out b_i.
    """

    n_factors: int = hyperparameter(64, low=1, high=1024)
    n_epochs: int = hyperparameter(6, low=1, high=1000)
    regularization: float = hyperparameter(1.0, low=0.0, high=1e6)
    biased: bool = hyperparameter(default=True)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
    ) -> RatingVectors:
        """Rating vectors; the user side is the fold-in of every user. An item without ratings keeps its features.

        Raises `FeaturesNeededError` if no item has features, and `FitDivergedError`.
        """
        features = _required(ratings.features.items if ratings.features else None, "items")
        columns = _feature_columns(features, ratings.item_counts, self.n_factors)
        mean = float(ratings.values.mean(dtype=np.float64)) if len(ratings) else 0.0
        variance = float(ratings.values.var(dtype=np.float64)) if len(ratings) else 0.0
        learned = RatingVectors(
            mean=mean,
            user_biases=np.zeros(ratings.n_users, np.float32),
            item_biases=np.zeros(ratings.n_items, np.float32),
            user_factors=np.zeros((ratings.n_users, columns.shape[1]), np.float32),
            item_factors=columns,
            regularization=0.0,
        )
        # Where all ratings are equal the variance is 0; any positive number then serves as the unit.
        effects = RandomEffects.from_variance(columns, variance or 1.0, INITIAL_VARIANCE)
        own_variance, bias_variance = INITIAL_VARIANCE * effects.noise, 0.0
        for epoch in range(self.n_epochs):
            # Items given users, then users given items; each half lowers what the other leaves unexplained.
            if self.biased:
                item_biases, own_variance = _item_biases(ratings, features, learned, effects.noise, own_variance)
                learned = replace(learned, item_biases=item_biases)
                bias_variance = _bias_variance(ratings, effects.noise, own_variance)
            before = effects.noise
            effects = estimate_random_effects(ratings, learned, effects, bias_variance, rng)
            precision = effects.precision * self.regularization if self.regularization else None
            learned = replace(learned, precision=precision).checked()
            user_factors, user_biases = fold_in_all(ratings, learned)
            learned = replace(learned, user_factors=user_factors, user_biases=user_biases)
            noise = f"standard deviation of the noise {np.sqrt(effects.noise):.4f}"
            progress((epoch + 1) / self.n_epochs, f"content_linear epoch {epoch + 1} of {self.n_epochs}, {noise}")
            if abs(effects.noise - before) <= NOISE_TOLERANCE * before:
                break
        progress(1.0, "content_linear fitted")
        return learned.checked()


@dataclass(frozen=True)
class ContentLinearDual:
    """The same with the sides exchanged: per item a regression on given user features, the user factors.

    A user without ratings is represented by its features; no fold-in applies.

    `n_factors`, `n_epochs`, `regularization`, `biased`: as of `ContentLinear`, with the sides exchanged.
    """

    n_factors: int = hyperparameter(64, low=1, high=1024)
    n_epochs: int = hyperparameter(6, low=1, high=1000)
    regularization: float = hyperparameter(1.0, low=0.0, high=1e6)
    biased: bool = hyperparameter(default=True)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
    ) -> RatingVectors:
        """Rating vectors. Raises `FeaturesNeededError` where no user has features, and `FitDivergedError`."""
        user_features = _required(ratings.features.users if ratings.features else None, "users")
        # Fit the transposed matrix and exchange the sides of the result.
        # R' with items as users
        columns = (ratings.item_rows, ratings.user_rows, ratings.values)
        exchanged = RatingMatrix(ratings.n_items, ratings.n_users, *columns).with_features(
            Features(items=user_features, users=sparse.csr_array(np.zeros((ratings.n_items, 0), np.float32)))
        )
        primal = ContentLinear(self.n_factors, self.n_epochs, self.regularization, self.biased)
        learned = primal.fit(exchanged, rng, progress)
        # The precision belongs to the regressions, which are the items' here, so it is of no use for folding in users.
        return replace(
            learned,
            user_biases=learned.item_biases,
            item_biases=learned.user_biases,
            user_factors=learned.item_factors,
            item_factors=learned.user_factors,
            precision=None,
        )


def _required(features: sparse.csr_array | None, side: str) -> sparse.csr_array:
    if features is None or not features.nnz:
        raise FeaturesNeededError(f"this algorithm learns from features of {side}, and none of them has any")
    return features


def _feature_columns(features: sparse.csr_array, counts: NDArray[np.int64], max_columns: int) -> Float32Array:
    """(n, k) float32: the features, or where there are more than `max_columns`, their principal components."""
    if features.shape[1] <= max_columns:
        return features.toarray().astype(np.float32)
    # Eigenvectors of sum_i (m_i + 1) x_i x_i': directions in which much-rated items differ explain most ratings; the
    # 1 lets items without ratings count, too. Not centred, which would destroy the sparsity.
    wide = features.astype(np.float64)
    gram = (wide.T @ sparse.diags_array(counts + 1.0) @ wide).toarray()
    n_columns = len(gram)
    _, axes = linalg.eigh(gram, subset_by_index=(n_columns - max_columns, n_columns - 1))
    return np.asarray(wide @ axes, np.float32)


def _item_biases(
    ratings: RatingMatrix, features: sparse.csr_array, learned: RatingVectors, noise: float, variance: float
) -> tuple[Float32Array, float]:
    """(n_items,) b_i = w . x_i + own_i, the part explained by features and the rest; and the variance of own_i.

    `variance`: the previous estimate of the latter.
    """
    unbiased = replace(learned, item_biases=np.zeros_like(learned.item_biases))
    residuals = ratings.values - unbiased.predict(ratings.user_rows, ratings.item_rows)
    counts = ratings.item_counts
    sums = np.bincount(ratings.item_rows, residuals, ratings.n_items)
    means = np.divide(sums, counts, out=np.zeros(len(sums)), where=counts > 0)
    # The mean residual of n ratings has variance v + noise / n around w . x_i, so its weight in the regression is
    # proportional to n / (n + noise / v).
    weight = noise / variance
    explained = FeatureMap.fit(features, means[:, None], counts / (counts + weight)).predict(features)[:, 0]
    # own_i = sum_u (residual_ui - w . x_i) / (n_i + noise / v), the posterior mean under own_i ~ N(0, v)
    own = (sums - counts * explained) / (counts + weight)
    # v = mean of own_i^2 + posterior variance of own_i, a step of expectation maximisation
    is_rated = counts > 0
    second_moment = np.mean(own[is_rated] ** 2 + noise / (counts[is_rated] + weight)) if is_rated.any() else variance
    # A floor, because v is divided by in the next epoch.
    return (explained + own).astype(np.float32), max(float(second_moment), NOISE_TOLERANCE * noise)


def _bias_variance(ratings: RatingMatrix, noise: float, variance: float) -> float:
    """The mean posterior variance of an item bias over all ratings: noise / (n_i + noise / v), weighted by n_i."""
    counts = ratings.item_counts
    return float(np.sum(counts * noise / (counts + noise / variance)) / max(1, len(ratings)))


@dataclass(frozen=True)
class RandomEffects:
    """(p_u, b_u) ~ N(0, covariance), and a rating adds noise.

    `covariance`: (k + 1, k + 1) float64. `noise`: variance of a rating around its expectation. `min_noise`: its floor.
    """

    covariance: Float64Array
    noise: float
    min_noise: float

    @classmethod
    def from_variance(cls, item_factors: Float32Array, variance: float, share: float) -> Self:
        """The initial estimate: factors (n_items, k) and bias each explain this `share` of the ratings' `variance`."""
        # E (p . x)^2 = sum_f S_ff E x_f^2 = S_ff |x|^2 for a multiple of the identity
        length = float(np.mean(np.sum(item_factors.astype(np.float64) ** 2, axis=1))) if item_factors.size else 1.0
        variances = np.append(np.full(item_factors.shape[1], share * variance / (length or 1.0)), share * variance)
        return cls(np.diag(variances), variance, MIN_NOISE_SHARE * variance)

    @property
    def isotropic(self) -> Float64Array:
        """The covariance with all factors alike and uncorrelated: the mode of the prior for `covariance` itself."""
        variances = np.diag(self.covariance).copy()
        variances[:-1] = variances[:-1].mean() if len(variances) > 1 else 0.0
        return np.diag(variances)

    @property
    def precision(self) -> Float64Array:
        """Noise S^-1, the penalty of `fold_in` in units of the noise, as (2, k + 1, k + 1); nothing per rating."""
        precision = self.noise * np.linalg.inv(self.covariance)
        # The inverse is symmetric only up to rounding; Cholesky would read one triangle of it.
        return np.stack([(precision + precision.T) / 2, np.zeros_like(precision)])


def estimate_random_effects(
    ratings: RatingMatrix,
    learned: RatingVectors,
    effects: RandomEffects,
    bias_variance: float,
    rng: np.random.Generator,
) -> RandomEffects:
    """Rounds of expectation maximisation, starting from `effects`; mean and item side of `learned` are given.

    `bias_variance`: mean posterior variance of the item biases. Few users cannot determine a whole covariance, so k + 1
    more are assumed to follow an isotropic one, as under an inverse Wishart prior.
    """
    # Users without ratings have C_u = S, which leaves S as it is.
    users = np.flatnonzero(ratings.user_counts)
    if len(users) > MAX_USERS:
        users = np.sort(rng.choice(users, MAX_USERS, replace=False))
    if not len(users):
        return effects
    grams, moments, squares, n_ratings = _sufficient_statistics(ratings, learned, users)
    for _ in range(N_ROUNDS):
        # E: every user's weights are normal with covariance C_u = (F'F / noise + S^-1)^-1 and mean C_u F't / noise
        covariances = np.linalg.inv(grams / effects.noise + np.linalg.inv(effects.covariance))
        weights = np.einsum("uab,ub->ua", covariances, moments) / effects.noise
        # M: S = mean of weights weights' + C_u;   noise = mean of |t - F weights|^2 + tr(C_u F'F) + bias variance
        second = weights.T @ weights + covariances.sum(axis=0) + len(weights.T) * effects.isotropic
        # |t - F w|^2 = |t|^2 - 2 w . F't + w' F'F w
        residual_squares = squares - 2 * np.sum(weights * moments) + np.einsum("ua,uab,ub->", weights, grams, weights)
        noise = (residual_squares + np.einsum("uab,uba->", covariances, grams)) / n_ratings + bias_variance
        effects = RandomEffects(
            covariance=second / (len(users) + len(weights.T)),
            noise=max(float(noise), effects.min_noise),
            min_noise=effects.min_noise,
        )
    return effects


def _sufficient_statistics(
    ratings: RatingMatrix, learned: RatingVectors, users: NDArray[np.int64]
) -> tuple[Float64Array, Float64Array, float, int]:
    """F'F (b, k + 1, k + 1), F't (b, k + 1), the sum of t^2 and the count, with t = r_ui - mu - b_i of b users.

    They do not change between rounds, which then need no pass over the ratings.
    """
    by_user, width = ratings.by_user, learned.n_factors + 1
    grams, moments, squares, n_ratings = np.empty((len(users), width, width)), np.empty((len(users), width)), 0.0, 0
    for place, user in enumerate(users):
        own = slice(by_user.indptr[user], by_user.indptr[user + 1])
        items = by_user.indices[own]
        # F = (x_i, 1), the last column for the bias
        factors = np.ones((len(items), width))
        factors[:, :-1] = learned.item_factors[items]
        targets = by_user.data[own].astype(np.float64) - learned.mean - learned.item_biases[items]
        grams[place], moments[place] = factors.T @ factors, factors.T @ targets
        squares, n_ratings = squares + float(targets @ targets), n_ratings + len(items)
    return grams, moments, squares, n_ratings
