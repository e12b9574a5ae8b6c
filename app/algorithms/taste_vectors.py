"""The result of implicit ALS, x_u . y_i, and its fold-in of one user from ratings, without numba.

A rating that is liked is a choice, weighted by its value; a low one is a dislike; one in between says neither and is no
observation. A user's vector is a ridge regression on fixed item vectors over all items: choices with target 1 and their
weight, dislikes with target 0 and theirs, and all items with target 0 and `unobserved_weight` (Y. Hu, Y. Koren,
C. Volinsky 2008, in the form of S. Rendle et al. 2021; see `als_implicit.py`).

    x = (G + sum w y y' + penalty I)^-1 sum_choices w y,    G = unobserved_weight sum_i y_i y_i'

So a dislike lowers what is like it beside choices, and alone says nothing of what the user would like: x = 0. A
negative target was refused. It ranks no better, and of dislikes alone it makes a list of their opposites, which on
MovieLens reaches a third to a half of the nDCG of bestsellers.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from app.algorithms.errors import FitDivergedError
from app.algorithms.storage import IN_MEMORY, Storage, add_rows, count_rows, filled, mean, mean_square, spans, total

# A user's mean rating is shrunk towards the overall mean as if by this many ratings of that value.
SHRINKAGE = 5.0

# The share of the overall mean in the level that a rating is compared with. On the user's mean alone, a user who
# gives nothing but the minimum would like it all; on the overall mean alone, a strict user would like nothing.
OVERALL_SHARE = 0.5

# z is clipped to this many standard deviations, so that one outlier cannot outweigh all other ratings.
MAX_DEVIATION = 4.0


@dataclass(frozen=True)
class Weighting:
    """The weight of a rating as an observation: weight = scale exp(influence z), z = (r - level) / spread.

    level is halfway between `mean` and the user's mean, which is shrunk towards `mean`; z is clipped to -4..4. A rating
    with z < 0 that is also below `low_below` is a dislike, of weight 1. Any other below `positive_from` is no
    observation.

    `mean`, `spread`: mean and standard deviation of all ratings.
    `influence`: the `rating_influence` of the learner, or 0 where all observations count the same.
    `scale`: makes the mean weight of the choices 1.
    `positive_from`: ratings below it are no choices: what is not liked, where that is known. With two distinct grades,
        the lower one means that the item was not chosen; the same holds below a given `chosen_from`. In both cases
        influence is 0.
    `low_below`: the lesser of `mean` and the middle of the range. Where influence is 0 it is the lowest rating, and
        there are no dislikes.

    Weights are signed: > 0 of a choice, < 0 of a dislike, 0 of no observation.
    """

    mean: float
    spread: float
    influence: float
    scale: float
    positive_from: float
    low_below: float

    @classmethod
    def from_ratings(
        cls,
        user_rows: NDArray[np.integer],
        values: NDArray[np.floating],
        n_users: int,
        influence: float,
        chosen_from: float | None = None,
        *,
        liked_from: float | None = None,
        is_graded: bool = True,
        storage: Storage = IN_MEMORY,
    ) -> tuple["Weighting", NDArray[np.float32]]:
        """The weighting estimated from n ratings, and their signed weights (n,) float32, which live in `storage`."""
        # Without ratings there is nothing to estimate; every weighting is as good.
        if not len(values):
            return cls(0.0, 1.0, influence, 1.0, 0.0, 0.0), np.empty(0, np.float32)
        parts = [(values[span].min(), values[span].max()) for span in spans(len(values), storage)]
        lowest, highest = float(min(low for low, _ in parts)), float(max(high for _, high in parts))
        # Two grades are like and dislike, or shown and chosen: the lower is not an observation.
        is_two_valued = (
            is_graded
            and lowest < highest
            and all(np.isin(values[span], (lowest, highest)).all() for span in spans(len(values), storage))
        )
        # float64 accumulation; a constant rating has deviation 0, so any divisor will do.
        overall = mean(values, storage)
        spread = math.sqrt(mean_square(values, overall, storage)) or 1.0
        positive_from = highest if is_two_valued else lowest
        if liked_from is not None and is_graded and not is_two_valued:
            positive_from = float(np.float32(liked_from))  # rounded like the ratings, so that equal stays equal
        if chosen_from is not None:
            positive_from = float(np.float32(chosen_from))  # likewise
            is_two_valued = True
        if is_two_valued:
            influence = 0.0
        # A low rating is below the overall mean and in the lower half of the range: where most ratings are high, one
        # just below the mean is not low.
        low_below = min(overall, (lowest + highest) / 2) if influence and is_graded else lowest
        unscaled = cls(overall, spread, influence, 1.0, positive_from, low_below)
        of_user = _UserSums.of(user_rows, values, n_users, storage)

        def weights_of(weighting: "Weighting", span: slice) -> NDArray[np.float64]:
            return weighting.weigh_users(user_rows[span], values[span], of_user)

        # The mean over choices alone: ratings of weight 0 must not inflate the others.
        n_choices = 0

        def choices(span: slice) -> NDArray[np.float64]:
            nonlocal n_choices
            weights = weights_of(unscaled, span)
            weights = weights[weights > 0]
            n_choices += len(weights)
            return weights

        of_choices = total(len(values), choices, storage)
        weighting = replace(unscaled, scale=n_choices / of_choices if n_choices else 1.0)
        return weighting, filled(len(values), np.float32, lambda span: weights_of(weighting, span), storage)

    def of_users(
        self, user_rows: NDArray[np.integer], values: NDArray[np.floating], n_users: int
    ) -> NDArray[np.float32]:
        """The signed weights (n,) float32 of n ratings of several users; `of_user` computes the same for one user."""
        of_user = _UserSums.of(user_rows, values, n_users, IN_MEMORY)
        return self.weigh_users(user_rows, values, of_user).astype(np.float32)

    def positive(self, counts_as: float) -> float:
        """The rating that a positive label counts as: `counts_as`, raised to a value that is always a choice."""
        return max(counts_as, self.positive_from, self.low_below)

    def of_user(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """The signed weights (m,) float64 of one user's ratings (m,)."""
        wide = values.astype(np.float64)
        return self._weigh(wide, SHRINKAGE * self.mean + wide.sum(), len(wide))

    def weigh_users(
        self, user_rows: NDArray[np.integer], values: NDArray[np.floating], of_user: "_UserSums"
    ) -> NDArray[np.float64]:
        """(m,) float64 signed weights of some ratings. `of_user`: of all ratings of their users."""
        sums = (SHRINKAGE * self.mean + of_user.sums)[user_rows]
        return self._weigh(values.astype(np.float64), sums, of_user.counts[user_rows])

    def _weigh(
        self, values: NDArray[np.float64], sums: NDArray[np.float64] | float, counts: NDArray[np.int64] | int
    ) -> NDArray[np.float64]:
        # m_u = (5 mean + sum r) / (5 + m);    level = (m_u + mean) / 2
        own_means = sums / (SHRINKAGE + counts)
        level = (1 - OVERALL_SHARE) * own_means + OVERALL_SHARE * self.mean
        # weight = scale exp(influence clip((r - level) / spread, -4, 4))
        z = (values - level) / self.spread
        is_disliked = (z < 0) & (values < self.low_below)
        # Twice as fast as `np.clip` on short arrays.
        np.minimum(np.maximum(z, -MAX_DEVIATION, out=z), MAX_DEVIATION, out=z)
        z *= self.influence
        weights = np.exp(z, out=z)
        weights *= self.scale
        weights[values < self.positive_from] = 0.0
        # As much as an average choice: the further below its level, the surer a dislike, but its target is 0 anyway.
        weights[is_disliked] = -1.0
        return weights


class _UserSums(NamedTuple):
    """(n_users,) the number of ratings of each user, and their sum."""

    counts: NDArray[np.int64]
    sums: NDArray[np.float64]

    @classmethod
    def of(cls, user_rows: NDArray[np.integer], values: NDArray[np.floating], n_users: int, storage: Storage) -> Self:
        return cls(
            count_rows(user_rows, n_users, storage), add_rows(user_rows, n_users, lambda span: values[span], storage)
        )


@dataclass(frozen=True)
class Penalty:
    """The penalty regularization s^frequency_exponent |x|^2 of a row (S. Rendle et al. 2021).

    s = w + unobserved is the total weight in the row's regression, with w that of its observations.
    `regularization`, `frequency_exponent`: of `ImplicitALS`.
    `unobserved`: unobserved_weight times the number of rows of the other side.
    """

    regularization: float
    frequency_exponent: float
    unobserved: float

    def of(self, total_weight: NDArray[np.floating] | float) -> NDArray[np.float64]:
        """The factor of |x|^2 for rows whose observations have these total weights."""
        regression_weight = np.asarray(total_weight, np.float64) + self.unobserved
        penalty: NDArray[np.float64] = self.regularization * regression_weight**self.frequency_exponent
        return penalty


@dataclass(frozen=True)
class TasteVectors:
    """score(u, i) = x_u . y_i.

    `user_factors`, `item_factors`: (n_users, k), (n_items, k) float32, 0 for rows without observations.
    `gram`: (k, k) float64, unobserved_weight sum_i y_i y_i', so that a fold-in need not visit all items.
    `weighting`: of ratings as observations. `penalty`: of a user.
    """

    user_factors: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    gram: NDArray[np.float64]
    weighting: Weighting
    penalty: Penalty

    @property
    def numbers(self) -> dict[str, float]:
        """The fields of `weighting` and `penalty` by name, as a snapshot stores them; see `TasteFoldIn.from_state`."""
        return asdict(self.weighting) | asdict(self.penalty)

    def scores(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Ranking scores of all items: (b,) user rows -> (b, n_items), higher first."""
        scores: NDArray[np.float32] = self.user_factors[user_rows] @ self.item_factors.T
        return scores

    def checked(self) -> "TasteVectors":
        """Return self; raises `FitDivergedError` where any value is not finite."""
        if not all(np.isfinite(array).all() for array in (self.user_factors, self.item_factors, self.gram)):
            raise FitDivergedError("the fit produced values that are not finite; try a larger regularization")
        return self


@dataclass(frozen=True)
class TasteFoldIn:
    """Computes the vector of one user, as `TasteVectors.user_factors` holds it for all users of the fit."""

    gram: NDArray[np.float64]
    weighting: Weighting
    penalty: Penalty

    @classmethod
    def from_state(cls, numbers: Mapping[str, float], gram: NDArray[np.float64]) -> "TasteFoldIn":
        """The inverse of `TasteVectors.numbers`. Raises `KeyError` where one is missing."""
        weighting, penalty = (
            {name: numbers[name] for name in kind.__dataclass_fields__} for kind in (Weighting, Penalty)
        )
        return cls(gram, Weighting(**weighting), Penalty(**penalty))

    def taste(self, item_factors: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.float32]:
        """X (k,) float32 from the factors (m, k) of the rated items and the ratings (m,); 0 without choices.

        x = (G + sum w y y' + penalty I)^-1 sum_choices w y
        """
        factors, weights, _ = self._observed(item_factors, values)
        pulls = np.maximum(weights, 0.0)
        if not pulls.any():
            return np.zeros(item_factors.shape[1], np.float32)
        # b = sum w y over the choices, and A x = b by Cholesky
        right = pulls @ factors
        _, taste, failed = lapack.dposv(self._system(factors, weights), right, lower=1, overwrite_a=1)
        if failed:  # singular: possible only without a penalty; the solution of least length is taken
            taste = np.linalg.lstsq(self._system(factors, weights), right)[0]
        return np.asarray(taste, np.float32)

    def influences(
        self, item_factors: NDArray[np.floating], values: NDArray[np.floating], shown_factors: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """The contribution of each rating to x . y, for n items with factors y, `shown_factors` (n, k): (n, m) float64.

        x = A^-1 sum_j w_j y_j, so the choice of item j contributes y' A^-1 w_j y_j (Hu, Koren & Volinsky 2008,
        section 5). All other ratings contribute 0; dislikes have their part in A.
        """
        factors, weights, is_observed = self._observed(item_factors, values)
        contributions = np.zeros((len(shown_factors), len(is_observed)))
        if not factors.size or not contributions.size:
            return contributions
        # One solve for all shown items: y' A^-1 y_j = (A^-1 y)' y_j. Column-major order spares LAPACK a copy.
        shown = np.asfortranarray(shown_factors.T, np.float64)
        _, solution, failed = lapack.dposv(self._system(factors, weights), shown, lower=1, overwrite_a=1)
        if failed:
            solution = np.linalg.pinv(self._system(factors, weights), hermitian=True) @ shown
        # (A^-1 y)' y_j w_j for every shown y and choice j, 0 for dislikes
        contributions[:, is_observed] = (solution.T @ factors.T) * np.maximum(weights, 0.0)
        return contributions

    def _observed(
        self, item_factors: NDArray[np.floating], values: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Factors and signed weights of the observations among m ratings, and the mask (m,) of observations."""
        weights = self.weighting.of_user(values)
        is_observed = weights != 0
        factors = item_factors.astype(np.float64)
        if is_observed.all():  # the usual case, which needs no copies
            return factors, weights, is_observed
        return factors[is_observed], weights[is_observed], is_observed

    def _system(self, factors: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """A = G + sum w y y' + penalty I over choices and dislikes, in column-major order for LAPACK."""
        weights = np.abs(weights)
        # sum w y y' = Z'Z with Z = w^1/2 Y. For a product of a matrix with itself numpy calls BLAS syrk, which computes
        # one triangle only.
        rows = factors * np.sqrt(weights)[:, None]
        system: NDArray[np.float64] = rows.T @ rows
        system += self.gram
        system.ravel()[:: len(system) + 1] += self.penalty.of(weights.sum())
        return system.T
