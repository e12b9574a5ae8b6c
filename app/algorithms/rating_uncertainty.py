"""The uncertainty of a predicted rating: its predictive standard deviation, from the user's and the item's shares.

    std(u, i)^2 = user_std[u]^2 + item_std[i]^2

The user's share holds the noise of the user's ratings and what is unknown of the user's vector; the item's share holds
what is unknown of the item's vector. Both are in units of the rating scale.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# More ratings than any user has: a prior with this weight is never overridden by a user's own ratings.
UNLIMITED_RATINGS = 1e15


@dataclass(frozen=True)
class UserUncertainty:
    """The user's share of the uncertainty, for users of the fit and folded-in users alike.

    `noise`: standard deviation of a rating around the user's true preference, in the rating scale, over all users.
    `noise_ratings`: weight, in ratings, of `noise` against a user's own residuals.
    `optimism`: factor >= 1 by which the residuals of a fold-in on its own ratings understate the noise.
    `new_user`: standard deviation, in the rating scale, due to the unknown vector of a user without ratings.
    `half_known`: number of ratings after which half of `new_user`^2 remains.
    """

    noise: float
    noise_ratings: float
    optimism: float
    new_user: float
    half_known: float

    def standard_deviations(self, errors: NDArray[np.floating], counts: NDArray[np.integer]) -> NDArray[np.float32]:
        """(b,) float32, the share of b users in the rating scale.

        `errors`: (b,) root mean squared residual of the fold-in on the user's own ratings, ignored where the count is
        0. `counts`: (b,) numbers of ratings, m. With a = noise_ratings:

            std^2 = (a noise^2 + m (optimism error)^2) / (a + m)  +  new_user^2 / (1 + m / half_known)
        """
        # own = m / (a + m), the weight of the user's own residuals.
        own = counts / (self.noise_ratings + counts)
        noise = np.hypot(self.noise * np.sqrt(1 - own), self.optimism * errors * np.sqrt(own))
        total: NDArray[np.float64] = np.hypot(noise, self.new_user / np.sqrt(1 + counts / self.half_known))
        return total.astype(np.float32)

    def standard_deviation(self, error: float, count: int) -> float:
        """As `standard_deviations`, for one user."""
        # Plain floats: on the request path numpy's overhead for arrays of one element costs more than the formula.
        own = count / (self.noise_ratings + count)
        noise = self.noise**2 * (1 - own) + (self.optimism * error) ** 2 * own
        return math.sqrt(noise + self.new_user**2 / (1 + count / self.half_known))

    @classmethod
    def constant(cls, error: float) -> "UserUncertainty":
        """The standard deviation `error` for every user, whatever their ratings."""
        return cls(noise=error, noise_ratings=UNLIMITED_RATINGS, optimism=1.0, new_user=0.0, half_known=1.0)


@dataclass(frozen=True)
class RatingUncertainty:
    """std(u, i)^2 = user_std[u]^2 + item_std[i]^2, in units of the rating scale.

    `of_users`: computes the user's share; for users of the fit the result is `user_std`.
    `user_std`: (n_users,) float32. `item_std`: (n_items,) float32.
    `new_item`: the item's share for an item without ratings.
    `is_constant`: the same value for all pairs, because the learner does not estimate uncertainty.
    """

    of_users: UserUncertainty
    user_std: NDArray[np.float32]
    item_std: NDArray[np.float32]
    new_item: float
    is_constant: bool = False

    @classmethod
    def constant(cls, error: float, n_users: int, n_items: int) -> "RatingUncertainty":
        """`error`, the root mean squared error of the predictions, for every pair."""
        shares = np.full(n_users, error, np.float32), np.zeros(n_items, np.float32)
        return cls(UserUncertainty.constant(error), *shares, new_item=0.0, is_constant=True)

    def standard_deviation(self, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """The predictive standard deviation of each pair: (n,) rows each -> (n,) float32."""
        # hypot(a, b) = sqrt(a^2 + b^2), without overflow of the squares.
        total: NDArray[np.float32] = np.hypot(self.user_std[user_rows], self.item_std[item_rows])
        return total
