"""What the draws say of how sure a prediction is, in a few numbers for users and items each."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_uncertainty import RatingUncertainty, UserUncertainty
from app.algorithms.rating_vectors import RatingVectors

if TYPE_CHECKING:
    from app.algorithms.gibbs import Chain

TINY = 1e-12
"""A fold-in that leaves no error at all."""

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]


class SampleUncertainty:
    """Sums over the draws from these ratings."""

    def __init__(self, ratings: RatingMatrix) -> None:
        self.ratings = ratings
        self.user_variances, self.item_variances = np.zeros(ratings.n_users), np.zeros(ratings.n_items + 1)
        self.user_noises, self.new_user = np.zeros(ratings.n_users), 0.0
        self.noise_prior = np.zeros(2)
        self.n_draws = 0

    def add(self, chain: "Chain") -> None:
        """One more draw: how far vectors lie from where all else has them, seen from the other side's vectors."""
        by_user = np.append(self.ratings.item_counts, 0) / len(self.ratings)
        by_item = self.ratings.user_counts / len(self.ratings)
        self.user_variances += _seen_from(chain.users - chain.user_means, chain.items, by_user)
        self.item_variances += _seen_from(chain.items - chain.item_means, chain.users, by_item)
        known = chain.users[chain.is_user_rated]
        self.new_user += float(_seen_from(known - known.mean(axis=0), chain.items, by_user).mean())
        self.user_noises += 1 / chain.noise_precisions
        self.noise_prior += chain.noise_prior
        self.n_draws += 1

    def around(self, vectors: RatingVectors, scale: float) -> RatingUncertainty | None:
        """The spread around what `vectors` predict, the draws being in units of `scale`; None without draws."""
        if not self.n_draws:
            return None
        ratings, counts = self.ratings, self.ratings.user_counts
        differences = ratings.values - vectors.predict(ratings.user_rows, ratings.item_rows).astype(np.float64)
        squares = np.bincount(ratings.user_rows, (differences / scale) ** 2, ratings.n_users)
        shape, rate = self.noise_prior / self.n_draws
        new_user = self.new_user / self.n_draws
        of_users = UserUncertainty(
            noise=scale * float(np.sqrt(rate / shape)),
            noise_ratings=float(2 * shape),
            # What the draws take for noise, over what the fold-in leaves of the ratings it was made from.
            optimism=float(np.sqrt(counts @ self.user_noises / self.n_draws / max(squares.sum(), TINY))),
            new_user=scale * float(np.sqrt(new_user)),
            half_known=_half_known(self.user_variances / self.n_draws, counts, new_user),
        )
        errors = scale * np.sqrt(squares / np.maximum(counts, 1))
        item_deviations = (scale * np.sqrt(self.item_variances / self.n_draws)).astype(np.float32)
        return RatingUncertainty(
            of_users, of_users.deviations(errors, counts), item_deviations[:-1], float(item_deviations[-1])
        )


def _seen_from(differences: Floats, others: Floats, weights: Wide) -> Wide:
    """Mean (d . f)^2 over the other side's f = (factors, 1), weighted: (n, k + 1), (m, k + 1), (m,) -> (n,)."""
    features = np.hstack([others[:, :-1], np.ones((len(others), 1), np.float32)]).astype(np.float64)
    square = (features.T * weights) @ features
    mean: Wide = np.einsum("na,na->n", differences @ square, differences)
    return mean


def _half_known(variances: Wide, counts: NDArray[np.int64], new_user: float) -> float:
    """The c of v_u = new_user / (1 + m_u / c), the median of what the users say."""
    telling = (counts > 0) & (variances < new_user)
    if not telling.any():
        return 1.0
    return float(np.median(counts[telling] * variances[telling] / (new_user - variances[telling])))
