"""How the users' weights vary, learned from the users themselves, where the items' factors are known."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

MAX_USERS = 2000
"""Enough to know a covariance of some dozen columns; drawn at random where there are more."""

N_ROUNDS = 10
"""Of expectation maximisation at each call; calls go on where the last one ended."""

LEAST_NOISE = 1e-4
"""Ratings are rounded: no fit is trusted to explain more than all but this share of their variance."""

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """(p_u, b_u) is normal with mean 0 and `covariance`, (k + 1, k + 1); a rating adds noise of variance `noise`.

    `least_noise`: its floor.
    """

    covariance: Wide
    noise: float
    least_noise: float

    @classmethod
    def start(cls, item_factors: Floats, variance: float, share: float) -> Self:
        """Factors (n_items, k) and bias each explain this `share` of the ratings' `variance`."""
        length = float(np.mean(np.sum(item_factors.astype(np.float64) ** 2, axis=1))) if item_factors.size else 1.0
        spreads = np.append(np.full(item_factors.shape[1], share * variance / (length or 1.0)), share * variance)
        return cls(np.diag(spreads), variance, LEAST_NOISE * variance)

    @property
    def even(self) -> Wide:
        """The covariance without what tells one factor from another: what some more users are taken to have."""
        variances = np.diag(self.covariance).copy()
        variances[:-1] = variances[:-1].mean() if len(variances) > 1 else 0.0
        return np.diag(variances)

    @property
    def precision(self) -> Wide:
        """(2, k + 1, k + 1), in units of the noise: the penalty of `fold_in`; no more for each rating."""
        precision = self.noise * np.linalg.inv(self.covariance)
        return np.stack([(precision + precision.T) / 2, np.zeros_like(precision)])


def learn_population(
    ratings: RatingMatrix,
    learned: RatingVectors,
    population: Population,
    bias_variance: float,
    rng: np.random.Generator,
) -> Population:
    """Some rounds of expectation maximisation from `population` on; the item side and mean of `learned` stay.

    `bias_variance`: how uncertain the item biases are, mean over ratings. Few users cannot show a whole covariance:
    k + 1 more are taken to follow an even one, as under an inverse Wishart prior.
    """
    users = np.flatnonzero(ratings.user_counts)
    if len(users) > MAX_USERS:
        users = np.sort(rng.choice(users, MAX_USERS, replace=False))
    if not len(users):
        return population
    grams, moments, squares, n_ratings = _sums(ratings, learned, users)
    for _ in range(N_ROUNDS):
        # E: every user's weights are normal with covariance C_u = (F'F / noise + S^-1)^-1 and mean C_u F't / noise
        spreads = np.linalg.inv(grams / population.noise + np.linalg.inv(population.covariance))
        weights = np.einsum("uab,ub->ua", spreads, moments) / population.noise
        # M: S = mean of weights weights' + C_u;   noise = mean of |t - F weights|^2 + tr(C_u F'F) + bias variance
        second = weights.T @ weights + spreads.sum(axis=0) + len(weights.T) * population.even
        left = squares - 2 * np.sum(weights * moments) + np.einsum("ua,uab,ub->", weights, grams, weights)
        noise = (left + np.einsum("uab,uba->", spreads, grams)) / n_ratings + bias_variance
        population = Population(
            covariance=second / (len(users) + len(weights.T)),
            noise=max(float(noise), population.least_noise),
            least_noise=population.least_noise,
        )
    return population


def _sums(ratings: RatingMatrix, learned: RatingVectors, users: NDArray[np.int64]) -> tuple[Wide, Wide, float, int]:
    """F'F (b, k + 1, k + 1), F't (b, k + 1), the sum of t^2 and the count, t = r_ui - mu - b_i of some users."""
    by_user, width = ratings.by_user, learned.n_factors + 1
    grams, moments, squares, n_ratings = np.empty((len(users), width, width)), np.empty((len(users), width)), 0.0, 0
    for place, user in enumerate(users):
        own = slice(by_user.indptr[user], by_user.indptr[user + 1])
        items = by_user.indices[own]
        factors = np.ones((len(items), width))
        factors[:, :-1] = learned.item_factors[items]
        targets = by_user.data[own].astype(np.float64) - learned.mean - learned.item_biases[items]
        grams[place], moments[place] = factors.T @ factors, factors.T @ targets
        squares, n_ratings = squares + float(targets @ targets), n_ratings + len(items)
    return grams, moments, squares, n_ratings
