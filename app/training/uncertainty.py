"""The uncertainty of predictions whose learner gives none, estimated from the errors on the hold-out.

The squared errors are regressed on the terms of `RatingUncertainty` with non-negative coefficients, first with equal
weights, then with those of the estimated variances (M. Davidian, R. Carroll, "Variance Function Estimation", 1987):

    E[e^2]  =  o^2 (a s^2 + m e_u^2) / (a + m)  +  v_user / (1 + m / c_user)  +  v_item / (1 + n / c_item)

m, n: how many ratings the user gave and the item got. e_u^2: the mean square error of the user's fold-in on their own
ratings; s^2: the same over all ratings. Hardly any held-out pair has m = 0 or n = 0, and the regression would
extrapolate there. What would be predicted in those cases is known, however, so each pair enters three times: as it is,
as if nothing were known of the user, and as if nothing were known of the item.
"""

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_uncertainty import RatingUncertainty, UserUncertainty
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.storage import add_rows
from app.training.validation_split import ValidationSplit

ENOUGH_PAIRS = 500
"""With fewer, one deviation serves all pairs. From so many, a mean squared error is known to about 7 %."""

MAX_PAIRS = 100_000
"""Pairs that are read, at most, evenly spaced: enough for six numbers."""

NOISE_RATINGS = (2.0, 8.0, 32.0, 128.0)
HALF_KNOWN = (1.0, 3.0, 10.0, 30.0, 100.0)
"""The values of a, and of c, that are tried."""

LEAST = 0.05
"""The least variance, as a share of the mean variance, that a pair is weighted by."""

Float64Array = NDArray[np.float64]
Settings = tuple[float, float, float]


@dataclass(frozen=True)
class HoldoutUncertainty:
    """Learned from one training part, for any other.

    `of_users`: the deviation that a user brings.
    `new_item`, `half_known`: an item with n ratings has deviation^2 = new_item^2 / (1 + n / half_known).
    """

    of_users: UserUncertainty
    new_item: float = 0.0
    half_known: float = 1.0

    @classmethod
    def from_holdout(cls, vectors: RatingVectors, split: ValidationSplit) -> Self:
        """From `vectors` learned from `split.train`; the mean variance is the mean squared error on the hold-out."""
        split = _thinned(split)
        # mean e^2 over the hold-out, the unit of all variances below
        mean = float(np.mean(split.errors(vectors) ** 2))
        if len(split.holdout) < ENOUGH_PAIRS or not mean:
            return cls(UserUncertainty.constant(math.sqrt(mean)))
        pairs = _Pairs.tripled(vectors, split, mean)
        # First with equal weights, then with those of the variances that came of it.
        settings, shares = pairs.regress(np.ones(len(pairs.squares)))
        settings, shares = pairs.regress(np.maximum(pairs.columns(settings) @ shares, LEAST))
        # Scaled so that the mean variance is the mean squared error that was measured.
        fitted = pairs.columns(settings)[: len(split.holdout)] @ shares
        # `shares` are o^2, v_user and v_item in units of the mean variance.
        of_noise, of_user, of_item = shares / fitted.mean()
        noise_ratings, half_known, half_known_item = settings
        of_users = UserUncertainty(
            noise=math.sqrt(of_noise * pairs.noise * mean),
            noise_ratings=noise_ratings,
            optimism=math.sqrt(of_noise),
            new_user=math.sqrt(of_user * mean),
            half_known=half_known,
        )
        return cls(of_users, math.sqrt(of_item * mean), half_known_item)

    def around(self, vectors: RatingVectors, ratings: RatingMatrix) -> RatingUncertainty:
        """The uncertainty of what `vectors`, learned from `ratings`, predict."""
        counts = ratings.user_counts
        # e_u = sqrt(sum of squared errors of the user / number of ratings)
        errors = np.sqrt(_squares_left(vectors, ratings) / np.maximum(counts, 1))
        # deviation^2 = new_item^2 / (1 + n / half_known)
        item_uncertainties = self.new_item / np.sqrt(1 + ratings.item_counts / self.half_known)
        return RatingUncertainty(
            self.of_users,
            self.of_users.standard_deviations(errors, counts),
            item_uncertainties.astype(np.float32),
            self.new_item,
        )


@dataclass(frozen=True)
class _Pairs:
    """The n pairs held out, then with their users unknown, then with their items unknown: (3 n,) each.

    `squares`: e^2, `own`: e_u^2, and `noise`: s^2, in units of the mean e^2 of the pairs as they are.
    """

    squares: Float64Array
    own: Float64Array
    noise: float
    user_counts: NDArray[np.int64]
    item_counts: NDArray[np.int64]

    @classmethod
    def tripled(cls, vectors: RatingVectors, split: ValidationSplit, unit: float) -> Self:
        train, users, items = split.train, split.holdout.user_rows, split.holdout.item_rows
        # In units of the mean variance, so that coefficients and thresholds do not depend on the rating scale.
        left = _squares_left(vectors, train) / unit
        own = (left / np.maximum(train.user_counts, 1))[users]
        m, n = train.user_counts[users], train.item_counts[items]
        # What would be predicted for an unknown user is mu + b_i, and for an unknown item mu + b_u.
        variants = vectors, _without_users(vectors), _without_items(vectors)
        return cls(
            squares=np.concatenate([split.errors(each) ** 2 for each in variants]) / unit,
            own=np.tile(own, 3),  # for unknown users, too, where m = 0 multiplies it
            noise=float(left.sum()) / len(train),
            user_counts=np.concatenate([m, np.zeros_like(m), m]),
            item_counts=np.concatenate([n, n, np.zeros_like(n)]),
        )

    def columns(self, settings: Settings) -> Float64Array:
        """(3 n, 3): what o^2, v_user and v_item are multiplied with, for a, c_user and c_item."""
        a, c_user, c_item = settings
        return np.column_stack([self._noise(a), _unknown(self.user_counts, c_user), _unknown(self.item_counts, c_item)])

    def regress(self, variances: Float64Array) -> tuple[Settings, Float64Array]:
        """The best a, c_user and c_item, and o^2, v_user and v_item, (3,); e is taken to have `variances`, (3 n,)."""
        columns = {(0, a): self._noise(a) for a in NOISE_RATINGS}
        columns |= {(1, c): _unknown(self.user_counts, c) for c in HALF_KNOWN}
        columns |= {(2, c): _unknown(self.item_counts, c) for c in HALF_KNOWN}
        place = {key: place for place, key in enumerate(columns)}
        # [X | y] = Q [R | r]:  |X b - y| = |R b - r|, whichever of the columns are chosen
        # The variance of e^2 grows with the square of its mean, so each pair is divided by its estimated variance.
        weighted = np.column_stack([*columns.values(), self.squares]) / variances[:, None]
        # All hundred choices of columns share one factorisation.
        triangle = np.asarray(np.linalg.qr(weighted, mode="r"))
        fits = {
            settings: nnls(triangle[:, [place[key] for key in enumerate(settings)]], triangle[:, -1])
            for settings in product(NOISE_RATINGS, HALF_KNOWN, HALF_KNOWN)
        }
        best = min(fits, key=lambda settings: fits[settings][1])
        return best, fits[best][0]

    def _noise(self, a: float) -> Float64Array:
        # (a s^2 + m e_u^2) / (a + m): the user's own error, drawn towards the common one while m is small
        noise: Float64Array = (a * self.noise + self.user_counts * self.own) / (a + self.user_counts)
        return noise


def _unknown(counts: NDArray[np.int64], half_known: float) -> Float64Array:
    # 1 for n = 0 and one half for n = c: what is not yet known after n ratings
    unknown: Float64Array = 1 / (1 + counts / half_known)
    return unknown


def _thinned(split: ValidationSplit) -> ValidationSplit:
    n = len(split.holdout)
    if n <= MAX_PAIRS:
        return split
    return replace(split, holdout=split.holdout.subset(np.linspace(0, n - 1, MAX_PAIRS).astype(np.int64)))


def _squares_left(vectors: RatingVectors, ratings: RatingMatrix) -> Float64Array:
    """(n_users,) the sum of the squared errors on `ratings`, which `vectors` were learned from."""

    def squares(span: slice) -> Float64Array:
        predicted = vectors.predict(ratings.user_rows[span], ratings.item_rows[span]).astype(np.float64)
        squared: Float64Array = (ratings.values[span] - predicted) ** 2
        return squared

    return add_rows(ratings.user_rows, ratings.n_users, squares, ratings.storage)


def _without_users(vectors: RatingVectors) -> RatingVectors:
    biases, factors = np.zeros_like(vectors.user_biases), np.zeros_like(vectors.user_factors)
    return replace(vectors, user_biases=biases, user_factors=factors)


def _without_items(vectors: RatingVectors) -> RatingVectors:
    biases, factors = np.zeros_like(vectors.item_biases), np.zeros_like(vectors.item_factors)
    return replace(vectors, item_biases=biases, item_factors=factors)
