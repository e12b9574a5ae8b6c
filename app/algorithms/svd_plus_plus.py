"""SVD++: Funk SVD that also learns from which items a user rated, whatever the ratings.

Y. Koren, "Factorization Meets the Neighborhood: a Multifaceted Collaborative Filtering Model" (2008), section 4:

    r^_ui = mu + b_u + b_i + q_i . (p_u + z_u),      z_u = |N(u)|^-1/2 sum_{j in N(u)} y_j

with N(u) the items u rated. Units, penalties (y_j: see the kernel), held-out slice and its part in the penalty and in
stopping early are those of `funk_svd.py`, so that here, too, the defaults know nothing of a data set.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.errors import FitDivergedError
from app.algorithms.fold_in import PRIOR_RATINGS, fold_in_all
from app.algorithms.funk_svd import (
    COOL_DOWN,
    FINAL_RATE,
    HELD_OUT_SHARE,
    LEAST_NOISE,
    MAX_HELD_OUT,
    MIN_HELD_OUT,
    RELATIVE_GAIN,
)
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import ItemRows, Progress, UserRows, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

if TYPE_CHECKING:
    from app.algorithms.sgd_kernel import Weights
    from app.algorithms.svd_plus_plus_kernel import UserRatings

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SVDPlusPlus:
    """`learning_rate`: of the first epoch, for ratings of unit variance. `regularization`: as in Funk SVD.

    `n_epochs`: at most; when the held-out error stops falling, the last third of them follows at once.
    """

    n_factors: int = hyperparameter(64, low=1, high=4096)
    n_epochs: int = hyperparameter(30, low=1, high=100_000)
    learning_rate: float = hyperparameter(0.05, low=0.0, high=1e6)
    regularization: float = hyperparameter(0.08, low=0.0, high=1e6)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: Progress = ignore) -> "SetVectors":
        """The vectors, learned on one thread: the y_j of different users are the same. Raises `FitDivergedError`."""
        descent = _Descent.start(self, ratings, rng, progress)
        descent.run()
        return descent.learned()


@dataclass(frozen=True)
class SetVectors:
    """`effective`: user factors are p_u + z_u. `set_factors`: (n_items, k) float32, the y_j, 0 for unrated items.

    Never published: `fold_in` of these user factors would need z_u too, and a snapshot has no place for the y_j.
    """

    effective: RatingVectors
    set_factors: Floats

    def predict(self, user_rows: UserRows, item_rows: ItemRows) -> Floats:
        """The predicted rating of each pair: (n,) rows -> (n,) float32, not clipped to the scale."""
        return self.effective.predict(user_rows, item_rows)

    def scores(self, user_rows: UserRows) -> Floats:
        """What ranks all items for some users: (b,) rows -> (b, n_items), higher first."""
        return self.effective.scores(user_rows)


@dataclass
class _Descent:
    """One fit under way: first without the held-out slice, which tells noise and progress, then with all ratings."""

    settings: SVDPlusPlus
    ratings: RatingMatrix
    rng: np.random.Generator
    progress: Progress
    mean: float
    scale: float
    weights: "Weights"
    set_factors: Floats
    noise: float = 1.0

    @classmethod
    def start(cls, settings: SVDPlusPlus, ratings: RatingMatrix, rng: np.random.Generator, progress: Progress) -> Self:
        # numba takes a second to import: not at the top, where processes that never learn would pay for it.
        from app.algorithms.block_sgd import draw_weights  # noqa: PLC0415  see above

        values = ratings.values.astype(np.float64)
        mean = float(values.mean()) if len(values) else 0.0
        scale = float(np.sqrt(np.mean((values - mean) ** 2))) if len(values) else 0.0
        weights = draw_weights(ratings.n_users, ratings.n_items, settings.n_factors, rng)
        set_factors = np.zeros_like(weights.item_factors)
        return cls(settings, ratings, rng, progress, mean, scale or 1.0, weights, set_factors)

    def run(self) -> None:
        n_ratings, n_epochs = len(self.ratings), self.settings.n_epochs
        n_held_out = min(int(HELD_OUT_SHARE * n_ratings), MAX_HELD_OUT)
        first_cool = n_epochs - math.ceil(COOL_DOWN * n_epochs) if n_held_out >= MIN_HELD_OUT else 0
        if first_cool:
            is_kept = np.ones(n_ratings, np.bool_)
            is_kept[self.rng.choice(n_ratings, n_held_out, replace=False, shuffle=False)] = False
            self._search(self.ratings.subset(is_kept), self.ratings.subset(~is_kept), first_cool)
        everything = self._by_user(self.ratings)
        for epoch in range(first_cool, n_epochs):
            self._epoch(everything, epoch)

    def learned(self) -> SetVectors:
        """In the scale of the ratings. p_u is solved for exactly, by `fold_in` to what z_u leaves to explain."""
        ratings, n_factors = self.ratings, self.settings.n_factors
        is_rated = (ratings.item_counts > 0)[:, None]
        set_factors = np.float32(self.scale) * self.set_factors[:, :n_factors] * is_rated
        of_sets = RatingVectors(
            mean=0.0,
            user_biases=np.zeros(ratings.n_users, np.float32),
            item_biases=np.zeros(ratings.n_items, np.float32),
            user_factors=_set_means(ratings) @ set_factors,
            item_factors=self.weights.item_factors[:, :n_factors] * is_rated,
            regularization=self.settings.regularization * self.noise,
        )
        item_biases = self.weights.item_biases * np.float32(self.scale)
        own = replace(of_sets, mean=self.mean, item_biases=item_biases).checked()
        left = ratings.values - of_sets.predict(ratings.user_rows, ratings.item_rows)
        columns = ratings.n_users, ratings.n_items, ratings.user_rows, ratings.item_rows
        user_factors, user_biases = fold_in_all(RatingMatrix(*columns, left), own)
        effective = replace(own, user_factors=user_factors + of_sets.user_factors, user_biases=user_biases)
        return SetVectors(effective.checked(), set_factors)

    def _search(self, kept: RatingMatrix, held_out: RatingMatrix, n_epochs: int) -> None:
        """Until the held-out error has not fallen for a third of the epochs."""
        from app.algorithms.sgd_kernel import mean_squared_error  # noqa: PLC0415  see `start`

        by_user, sets, targets = self._by_user(kept), _set_means(kept), self._targets(held_out.values)
        least, least_at = math.inf, 0
        for epoch in range(n_epochs):
            self._epoch(by_user, epoch)
            effective = self.weights._replace(user_factors=self.weights.user_factors + sets @ self.set_factors)
            error = mean_squared_error(held_out.user_rows, held_out.item_rows, targets, effective)
            self.noise = min(1.0, max(LEAST_NOISE, error))
            if error < (1 - RELATIVE_GAIN) * least:
                least, least_at = error, epoch
            elif epoch - least_at >= n_epochs / 3:
                return

    def _epoch(self, by_user: "UserRatings", epoch: int) -> None:
        from app.algorithms.sgd_kernel import Steps  # noqa: PLC0415  see `start`
        from app.algorithms.svd_plus_plus_kernel import update_users  # noqa: PLC0415  see `start`

        settings = self.settings
        done = epoch / max(1, settings.n_epochs - 1)
        learning_rate = np.float32(settings.learning_rate * (1 - (1 - FINAL_RATE) * done))
        steps = Steps(learning_rate, learning_rate, np.float32(settings.regularization * self.noise))
        user_order = self.rng.permutation(self.ratings.n_users).astype(np.int32)
        if not math.isfinite(update_users(user_order, by_user, self.weights, self.set_factors, steps)):
            raise FitDivergedError(
                f"the error left the finite numbers in epoch {epoch + 1}; try a smaller learning_rate"
            )
        self.progress((epoch + 1) / settings.n_epochs, f"epoch {epoch + 1} of {settings.n_epochs}")

    def _by_user(self, ratings: RatingMatrix) -> "UserRatings":
        from app.algorithms.svd_plus_plus_kernel import UserRatings  # noqa: PLC0415  see `start`

        matrix = ratings.by_user
        return UserRatings(
            starts=matrix.indptr.astype(np.int64),
            item_rows=matrix.indices.astype(np.int32),
            targets=self._targets(matrix.data),
            user_priors=(PRIOR_RATINGS / np.maximum(ratings.user_counts, 1)).astype(np.float32),
            item_priors=(PRIOR_RATINGS / np.maximum(ratings.item_counts, 1)).astype(np.float32),
        )

    def _targets(self, values: Floats) -> Floats:
        targets: Floats = (values - np.float32(self.mean)) / np.float32(self.scale)
        return targets


def _set_means(ratings: RatingMatrix) -> sparse.csr_array:
    """(n_users, n_items) CSR float32: |N(u)|^-1/2 where u rated i, so that its product with the y_j is z."""
    by_user, counts = ratings.by_user, ratings.user_counts
    weights = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
    return sparse.csr_array((weights, by_user.indices, by_user.indptr), by_user.shape)
