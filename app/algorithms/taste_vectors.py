"""What implicit ALS learned: what users choose. And one user's taste from ratings, without numba.

An observation is that a user rated an item at all; how much it counts depends on the rating. The taste of a user is a
ridge regression on known item vectors, over all items: those observed with target 1 and a weight each, and all items
with target 0 and `unobserved_weight` (Hu, Koren & Volinsky 2008, in the form of Rendle et al. 2021).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from app.algorithms.errors import FitDivergedError

SHRINKAGE = 5.0
"""The mean of a user's ratings counts as many ratings of the overall mean: one rating alone says little."""

MAX_DEVIATION = 4.0
"""See `Weighting`."""


@dataclass(frozen=True)
class Weighting:
    """How much a rating counts as an observation: weight = scale exp(influence z), z = (r - m_u) / spread.

    m_u is the user's own mean, shrunk towards `mean`; `spread`: the standard deviation of all ratings; `scale` makes
    the mean weight 1; z is cut at 4, so that an outlier cannot outweigh all others. What lies below `positive_from` is
    no observation at all: where ratings have but two values, the lower one says that an item was not chosen, and all
    others count the same. So it is where somebody says from which rating on an item was chosen.
    """

    mean: float
    spread: float
    influence: float
    scale: float
    positive_from: float

    @classmethod
    def learn(
        cls,
        user_rows: NDArray[np.integer],
        values: NDArray[np.floating],
        n_users: int,
        influence: float,
        chosen_from: float | None = None,
    ) -> tuple["Weighting", NDArray[np.float32]]:
        """The weighting that suits the ratings, and the weights (n,) it gives them."""
        if not len(values):
            return cls(0.0, 1.0, influence, 1.0, 0.0), np.empty(0, np.float32)
        lowest, highest = float(values.min()), float(values.max())
        is_two_valued = lowest < highest and bool(np.isin(values, (lowest, highest)).all())
        mean, spread = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64)) or 1.0
        positive_from = highest if is_two_valued else lowest
        if chosen_from is not None:
            positive_from = float(np.float32(chosen_from))  # as exact as the ratings
            is_two_valued = True
        unscaled = cls(mean, spread, 0.0 if is_two_valued else influence, 1.0, positive_from)
        weights = unscaled._of_users(user_rows, values, n_users)
        scale = 1 / float(weights[weights > 0].mean()) if weights.any() else 1.0
        return cls(**asdict(unscaled) | {"scale": scale}), (scale * weights).astype(np.float32)

    def of_users(
        self, user_rows: NDArray[np.integer], values: NDArray[np.floating], n_users: int
    ) -> NDArray[np.float32]:
        """The weights (n,) of ratings (n,) that may be others than it was learned from; as `of_user` of every user."""
        return self._of_users(user_rows, values, n_users).astype(np.float32)

    def positive(self, counts_as: float) -> float:
        """The rating that an engagement counts as: `counts_as`, and at least one that is an observation."""
        return max(counts_as, self.positive_from)

    def of_user(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """The weights (m,) of one user's ratings (m,)."""
        wide = values.astype(np.float64)
        return self._weigh(wide, SHRINKAGE * self.mean + wide.sum(), len(wide))

    def _of_users(
        self, user_rows: NDArray[np.integer], values: NDArray[np.floating], n_users: int
    ) -> NDArray[np.float64]:
        counts = np.bincount(user_rows, minlength=n_users)
        sums = np.bincount(user_rows, values, minlength=n_users)
        return self._weigh(values.astype(np.float64), (SHRINKAGE * self.mean + sums)[user_rows], counts[user_rows])

    def _weigh(
        self, values: NDArray[np.float64], sums: NDArray[np.float64] | float, counts: NDArray[np.int64] | int
    ) -> NDArray[np.float64]:
        own_means = sums / (SHRINKAGE + counts)
        z = (values - own_means) / self.spread
        np.minimum(np.maximum(z, -MAX_DEVIATION, out=z), MAX_DEVIATION, out=z)  # twice as fast as `np.clip` of a few
        z *= self.influence
        weights = np.exp(z, out=z)
        weights *= self.scale
        weights[values < self.positive_from] = 0.0
        return weights


@dataclass(frozen=True)
class Penalty:
    """regularization s^frequency_exponent |x|^2 for a row with observations of weight w in all,

    s = w + `unobserved`, the unobserved weight times the rows of the other side: what speaks in the row's regression.
    """

    regularization: float
    frequency_exponent: float
    unobserved: float

    def of(self, total_weight: NDArray[np.floating] | float) -> NDArray[np.float64]:
        """The factor of |x|^2, by the weight of all observations of a row."""
        speaking = np.asarray(total_weight, np.float64) + self.unobserved
        penalty: NDArray[np.float64] = self.regularization * speaking**self.frequency_exponent
        return penalty


@dataclass(frozen=True)
class TasteVectors:
    """`scores` = x_u . y_i.

    `user_factors`: (n_users, k), `item_factors`: (n_items, k) float32, zeros where nothing is observed. `gram`: (k, k)
    float64, unobserved_weight sum_i y_i y_i', which with `weighting` and `penalty` (of a user) is all a fold-in needs.
    """

    user_factors: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    gram: NDArray[np.float64]
    weighting: Weighting
    penalty: Penalty

    @property
    def numbers(self) -> dict[str, float]:
        """All that is neither vector nor `gram`, by name, for `TasteFold`."""
        return asdict(self.weighting) | asdict(self.penalty)

    def scores(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """(b,) rows -> (b, n_items), higher first."""
        scores: NDArray[np.float32] = self.user_factors[user_rows] @ self.item_factors.T
        return scores

    def checked(self) -> "TasteVectors":
        """Itself; raises `FitDivergedError` where anything is not finite."""
        if not all(np.isfinite(array).all() for array in (self.user_factors, self.item_factors, self.gram)):
            raise FitDivergedError("the fit left the finite numbers; try a larger regularization")
        return self


@dataclass(frozen=True)
class TasteFoldIn:
    """One user's taste, without numba: what `TasteVectors.user_factors` holds for all."""

    gram: NDArray[np.float64]
    weighting: Weighting
    penalty: Penalty

    @classmethod
    def read(cls, numbers: Mapping[str, float], gram: NDArray[np.float64]) -> "TasteFoldIn":
        """From `TasteVectors.numbers`. Raises `KeyError` where one is missing."""
        weighting, penalty = (
            {name: numbers[name] for name in kind.__dataclass_fields__} for kind in (Weighting, Penalty)
        )
        return cls(gram, Weighting(**weighting), Penalty(**penalty))

    def taste(self, item_factors: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.float32]:
        """The taste x (k,) float32 from the factors (m, k) of the items rated and the ratings (m,).

        Zeros without observations; else

        x = (gram + sum w y y' + penalty I)^-1 sum w y
        """
        factors, weights, _ = self._observed(item_factors, values)
        if not factors.size:
            return np.zeros(item_factors.shape[1], np.float32)
        right = weights @ factors
        _, taste, failed = lapack.dposv(self._system(factors, weights), right, lower=1, overwrite_a=1)
        if failed:  # without a penalty there may be no unique solution
            taste = np.linalg.lstsq(self._system(factors, weights), right)[0]
        return np.asarray(taste, np.float32)

    def influences(
        self, item_factors: NDArray[np.floating], values: NDArray[np.floating], shown_factors: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """How much of x . y every rating carries, for n items of factors y, `shown_factors` (n, k): (n, m) float64.

        x = A^-1 sum_j w_j y_j, so the rating of item j carries y' A^-1 w_j y_j (Hu, Koren & Volinsky 2008, section 5).
        """
        factors, weights, is_observed = self._observed(item_factors, values)
        carried = np.zeros((len(shown_factors), len(is_observed)))
        if not factors.size or not carried.size:
            return carried
        shown = np.asfortranarray(shown_factors.T, np.float64)
        _, solution, failed = lapack.dposv(self._system(factors, weights), shown, lower=1, overwrite_a=1)
        if failed:
            solution = np.linalg.pinv(self._system(factors, weights), hermitian=True) @ shown
        carried[:, is_observed] = (solution.T @ factors.T) * weights
        return carried

    def _observed(
        self, item_factors: NDArray[np.floating], values: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Factors and weights of what is an observation, and which of (m,) ratings are one."""
        weights = self.weighting.of_user(values)
        is_observed = weights > 0
        factors = item_factors.astype(np.float64)
        if is_observed.all():  # nearly always
            return factors, weights, is_observed
        return factors[is_observed], weights[is_observed], is_observed

    def _system(self, factors: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """A = gram + sum w y y' + penalty I, of what is observed; in the order that LAPACK works in without a copy."""
        rows = factors * np.sqrt(weights)[:, None]
        system: NDArray[np.float64] = rows.T @ rows  # of a matrix and itself BLAS computes half, and faster than half
        system += self.gram
        system.ravel()[:: len(system) + 1] += self.penalty.of(weights.sum())
        return system.T
