"""SVD++: Funk SVD that also learns from the set of items that a user rated, whatever the values.

Y. Koren, "Factorization Meets the Neighborhood: a Multifaceted Collaborative Filtering Model" (2008), section 4:

    r^_ui = mu + b_u + b_i + q_i . (p_u + z_u),      z_u = |N(u)|^-1/2 sum_{j in N(u)} y_j

with N(u) the items that u rated. Units, penalties (for y_j see the kernel) and the schedule with its held-out slice are
those of `funk_svd.py`, so the defaults do not depend on the data set here either.

Complexity: O(n_ratings n_factors) per epoch, on one thread, because all users share the y_j.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.early_stopping import RELATIVE_GAIN, EarlyStopping, Schedule, noise_variance
from app.algorithms.errors import FitDivergedError
from app.algorithms.fold_in import PRIOR_RATINGS, fold_in_all
from app.algorithms.funk_svd import FINAL_RATE
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import ItemRows, UserRows
from app.algorithms.progress import ProgressCallback, ignore, report_epoch
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.standardisation import Standardisation

if TYPE_CHECKING:
    from app.algorithms.sgd_kernel import Weights
    from app.algorithms.svd_plus_plus_kernel import UserRatings

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class SVDPlusPlus:
    """Learns mu + b_u + b_i + q_i . (p_u + z_u).

    `n_factors`: length of p_u, q_i and y_j.
    `n_epochs`: passes over the ratings, at most. When the validation error stops falling, the last third follows.
    `learning_rate`: step size of the first epoch, for ratings of unit variance.
    `regularization`: penalty weight in units of the noise, as in Funk SVD.
    """

    n_factors: int = hyperparameter(64, low=1, high=4096)
    n_epochs: int = hyperparameter(30, low=1, high=100_000)
    learning_rate: float = hyperparameter(0.05, low=0.0, high=1e6)
    regularization: float = hyperparameter(0.08, low=0.0, high=1e6)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
    ) -> "SVDPlusPlusVectors":
        """Vectors for all users and items; rows without ratings are 0. Raises `FitDivergedError`."""
        descent = _Descent.initial(self, ratings, rng, progress)
        descent.run()
        return descent.vectors()


@dataclass(frozen=True)
class SVDPlusPlusVectors:
    """`effective`: rating vectors whose user factors are p_u + z_u.

    `set_factors`: (n_items, k) float32, the y_j in the rating scale, 0 for items without ratings.

    Used for evaluation only, never published: folding in a user needs z_u, and a snapshot has no place for the y_j.
    """

    effective: RatingVectors
    set_factors: Float32Array

    def predict(self, user_rows: UserRows, item_rows: ItemRows) -> Float32Array:
        """The predicted rating of each pair: (n,) rows each -> (n,) float32, not clipped to the scale."""
        return self.effective.predict(user_rows, item_rows)

    def scores(self, user_rows: UserRows) -> Float32Array:
        """Ranking scores of all items: (b,) user rows -> (b, n_items), higher first."""
        return self.effective.scores(user_rows)


@dataclass
class _Descent:
    """The state of one fit. Both phases of `Schedule` change `weights` and `set_factors` in place."""

    settings: SVDPlusPlus
    ratings: RatingMatrix
    rng: np.random.Generator
    progress: ProgressCallback
    standardisation: Standardisation
    weights: "Weights"
    set_factors: Float32Array
    noise: float = 1.0

    @classmethod
    def initial(
        cls, settings: SVDPlusPlus, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> Self:
        # numba takes a second to import, which processes that never fit must not pay; hence not at the top.
        from app.algorithms.block_sgd import draw_weights

        weights = draw_weights(ratings.n_users, ratings.n_items, settings.n_factors, rng)
        # y_j = 0 at first: the fit then starts as Funk SVD, and the sets explain what it leaves.
        set_factors = np.zeros_like(weights.item_factors)
        return cls(settings, ratings, rng, progress, Standardisation.of(ratings.values), weights, set_factors)

    def run(self) -> None:
        """Run all epochs: the search without the held-out slice, then the cool-down with all ratings."""
        n_ratings, n_epochs = len(self.ratings), self.settings.n_epochs
        schedule = Schedule.draw(n_ratings, n_epochs, self.rng)
        if schedule.n_search_epochs:
            # `subset` keeps the input order, so equal seeds give equal splits.
            is_train = schedule.is_train(n_ratings)
            self._search(self.ratings.subset(is_train), self.ratings.subset(~is_train), schedule.n_search_epochs)
        everything = self._by_user(self.ratings)
        for epoch in range(schedule.n_search_epochs, n_epochs):
            self._epoch(everything, epoch)
            report_epoch(self.progress, "svd_plus_plus", epoch, n_epochs)

    def vectors(self) -> SVDPlusPlusVectors:
        """The result in the scale of the ratings; p_u is solved exactly from the residuals that z_u leaves."""
        ratings, n_factors = self.ratings, self.settings.n_factors
        # Items without ratings keep random initial factors through all epochs; they are set to 0.
        is_rated = (ratings.item_counts > 0)[:, None]
        # As in Funk SVD the factor `scale` goes to the user side, here p_u and z_u, and q_i keeps its length.
        set_factors = np.float32(self.standardisation.scale) * self.set_factors[:, :n_factors] * is_rated
        of_sets = RatingVectors(
            mean=0.0,
            user_biases=np.zeros(ratings.n_users, np.float32),
            item_biases=np.zeros(ratings.n_items, np.float32),
            user_factors=_set_weights(ratings) @ set_factors,  # z_u
            item_factors=self.weights.item_factors[:, :n_factors] * is_rated,
            regularization=self.settings.regularization * self.noise,
        )
        item_biases = self.weights.item_biases * np.float32(self.standardisation.scale)
        own = replace(of_sets, mean=self.standardisation.centre, item_biases=item_biases).checked()
        # p_u and b_u: the fold-in of every user to the residuals r_ui - q_i . z_u
        residuals = ratings.values - of_sets.predict(ratings.user_rows, ratings.item_rows)
        columns = ratings.n_users, ratings.n_items, ratings.user_rows, ratings.item_rows
        user_factors, user_biases = fold_in_all(RatingMatrix(*columns, residuals), own)
        effective = replace(own, user_factors=user_factors + of_sets.user_factors, user_biases=user_biases)
        return SVDPlusPlusVectors(effective.checked(), set_factors)

    def _search(self, train: RatingMatrix, held_out: RatingMatrix, n_search_epochs: int) -> None:
        """The first phase; stops when the validation error has not fallen for a third of its epochs."""
        from app.algorithms.sgd_kernel import mean_squared_error

        by_user, sets = self._by_user(train), _set_weights(train)
        targets = self.standardisation.targets(held_out.values)
        stopping = EarlyStopping(patience=n_search_epochs / 3, relative_gain=RELATIVE_GAIN)
        for epoch in range(n_search_epochs):
            self._epoch(by_user, epoch)
            # p_u + z_u, with N(u) the training items alone: the held-out slice must not shape its own prediction.
            effective = self.weights._replace(user_factors=self.weights.user_factors + sets @ self.set_factors)
            error = mean_squared_error(held_out.user_rows, held_out.item_rows, targets, effective)
            self.noise = noise_variance(error)
            validation = f"validation RMSE {self.standardisation.scale * math.sqrt(error):.4f}"
            report_epoch(self.progress, "svd_plus_plus", epoch, self.settings.n_epochs, validation)
            if not stopping.improves(epoch, error) and stopping.is_over(epoch):
                return

    def _epoch(self, by_user: "UserRatings", epoch: int) -> None:
        from app.algorithms.sgd_kernel import StepSizes
        from app.algorithms.svd_plus_plus_kernel import update_users

        settings = self.settings
        # The learning rate falls linearly, as in Funk SVD.
        done = epoch / max(1, settings.n_epochs - 1)
        learning_rate = np.float32(settings.learning_rate * (1 - (1 - FINAL_RATE) * done))
        steps = StepSizes(learning_rate, learning_rate, np.float32(settings.regularization * self.noise))
        # A new order for every epoch: with a fixed one the y_j would follow the last users.
        user_order = self.rng.permutation(self.ratings.n_users).astype(np.int32)
        if not math.isfinite(update_users(user_order, by_user, self.weights, self.set_factors, steps)):
            raise FitDivergedError(f"the error is not finite in epoch {epoch + 1}; try a smaller learning_rate")

    def _by_user(self, ratings: RatingMatrix) -> "UserRatings":
        from app.algorithms.svd_plus_plus_kernel import UserRatings

        matrix = ratings.by_user
        # Fixed index types, whatever scipy chose: otherwise numba compiles the kernel once per combination.
        return UserRatings(
            starts=matrix.indptr.astype(np.int64),
            item_rows=matrix.indices.astype(np.int32),
            targets=self.standardisation.targets(matrix.data),
            user_priors=(PRIOR_RATINGS / np.maximum(ratings.user_counts, 1)).astype(np.float32),
            item_priors=(PRIOR_RATINGS / np.maximum(ratings.item_counts, 1)).astype(np.float32),
        )


def _set_weights(ratings: RatingMatrix) -> sparse.csr_array:
    """(n_users, n_items) CSR float32 with |N(u)|^-1/2 where u rated i: its product with the y_j is z."""
    by_user, counts = ratings.by_user, ratings.user_counts
    weights = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
    return sparse.csr_array((weights, by_user.indices, by_user.indptr), by_user.shape)
