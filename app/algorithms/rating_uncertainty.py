"""How far off a predicted rating may be: its standard deviation, from what the user and the item each leave open."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FOREVER = 1e15
"""Of ratings: more than anybody gives."""


@dataclass(frozen=True)
class UserUncertainty:
    """What a user's ratings leave open, for users known and folded in alike. Deviations are in the rating scale.

    `noise`: how far users are off their own taste; a user's own noise is told as by `noise_ratings` ratings before the
    first. `optimism`: by how much the error that a fold-in leaves on its own ratings is too small. `new_user`: what is
    not known of a user without ratings, `half_known`: the number of ratings after which half of that variance is.
    """

    noise: float
    noise_ratings: float
    optimism: float
    new_user: float
    half_known: float

    def deviations(self, errors: NDArray[np.floating], counts: NDArray[np.integer]) -> NDArray[np.float32]:
        """(b,) float32, for users of m ratings, `counts`, folded in with the root mean squared error `errors`, (b,).

            (a noise^2 + m (optimism error)^2) / (a + m)  +  new_user^2 / (1 + m / half_known),    squared,

        a = noise_ratings. Without ratings the error does not matter.
        """
        own = counts / (self.noise_ratings + counts)
        noise = np.hypot(self.noise * np.sqrt(1 - own), self.optimism * errors * np.sqrt(own))
        both: NDArray[np.float64] = np.hypot(noise, self.new_user / np.sqrt(1 + counts / self.half_known))
        return both.astype(np.float32)

    def deviation(self, error: float, count: int) -> float:
        """As `deviations`, of one user, without an array."""
        own = count / (self.noise_ratings + count)
        noise = self.noise**2 * (1 - own) + (self.optimism * error) ** 2 * own
        return math.sqrt(noise + self.new_user**2 / (1 + count / self.half_known))

    @classmethod
    def even(cls, error: float) -> "UserUncertainty":
        """The same for every user: own errors count for nothing."""
        return cls(noise=error, noise_ratings=FOREVER, optimism=1.0, new_user=0.0, half_known=1.0)


@dataclass(frozen=True)
class RatingUncertainty:
    """deviation(u, i)^2 = user_deviations[u]^2 + item_deviations[i]^2, all in the rating scale.

    `user_deviations`: (n_users,) float32, by `of_users`. `item_deviations`: (n_items,) float32, what is not known of an
    item's vector; `new_item` where nothing is. `is_even`: one deviation for all, since nothing tells them apart.
    """

    of_users: UserUncertainty
    user_deviations: NDArray[np.float32]
    item_deviations: NDArray[np.float32]
    new_item: float
    is_even: bool = False

    @classmethod
    def even(cls, error: float, n_users: int, n_items: int) -> "RatingUncertainty":
        """Of a learner that tells no spread: `error` for every pair, the root mean squared error of its predictions."""
        deviations = np.full(n_users, error, np.float32), np.zeros(n_items, np.float32)
        return cls(UserUncertainty.even(error), *deviations, new_item=0.0, is_even=True)

    def deviation(self, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """(n,) rows -> (n,) the standard deviation of each rating around its prediction."""
        both: NDArray[np.float32] = np.hypot(self.user_deviations[user_rows], self.item_deviations[item_rows])
        return both
