"""Bayesian matrix factorisation: the mean of many factorisations drawn from the posterior. The quality learner.

R. Salakhutdinov, A. Mnih, "Bayesian Probabilistic Matrix Factorization using Markov Chain Monte Carlo" (2008):

    r^_ui = mean over draws s of mu + b_u^s + b_i^s + p_u^s . q_i^s

The draws come from `gibbs.py`. Their mean is again one dot product of few columns, in which every user is then folded
in with a prior estimated from the users themselves (`posterior_summary.py`). No penalty and no rate has to be tuned.

Complexity: O(n_ratings k^2 + (n_users + n_items) k^3) per sweep, k the factors of one draw; the number of threads
changes no bit of the result.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.cores import available_cores, thread_pool
from app.algorithms.fold_in import fold_in_all
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.posterior_summary import MeanProduct, PosteriorUncertainty, estimate_precision
from app.algorithms.progress import ProgressCallback, ignore, report_epoch
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from app.algorithms.gibbs import GibbsChain

# The share of sweeps, the first, that are discarded because the chain has not reached the posterior.
BURN_IN = 0.15

MANY_RATINGS = 200_000
# More ratings identify more dimensions. Too many only cost time: their draws average out to nothing.
FEW_DIMENSIONS, MANY_DIMENSIONS = 8, 16

# The mean has settled when the second half of the draws changes it by less than this share of the noise variance.
SETTLED_SHARE = 0.002

# Below this number of ratings, a sweep takes less time than starting threads.
RATINGS_WORTH_THREADS = 10_000

# Successive draws are correlated: the products of every fourth carry as much information as those of all.
PRODUCT_EVERY = 4

# The test for convergence: how often, and on how many pairs.
CHECK_EVERY = 10
N_PROBES = 10_000

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class BayesianMF:
    """Learns mu + b_u + b_i + p_u . q_i, and the uncertainty of predictions.

    `n_factors`: columns of the mean of all draws, at most.
    `n_dimensions`: factors of one draw; 0 chooses 8, or 16 from 200,000 ratings on.
    `n_epochs`: sweeps at most; sampling stops when more draws would not change the predictions.
    """

    n_factors: int = hyperparameter(32, low=1, high=4096)
    n_dimensions: int = hyperparameter(0, low=0, high=256)
    n_epochs: int = hyperparameter(200, low=2, high=10_000)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback = ignore,
        *,
        n_threads: int | None = None,
    ) -> RatingVectors:
        """Rating vectors with precision and uncertainty; the user side is the fold-in of every user.

        `n_threads`: by default the number of cores; the result does not depend on it. Raises `FitDivergedError`.
        """
        n_threads = n_threads or (available_cores() if len(ratings) >= RATINGS_WORTH_THREADS else 1)
        mean = PosteriorMean(ratings, self.n_factors)
        with thread_pool(n_threads) as pool:
            if len(ratings):
                self._sample(mean, rng, progress, pool, n_threads)
            progress(1.0, f"bayesian_mf mean of {mean.n_draws} draws")
            learned = mean.vectors().checked()
        # The published user side is the fold-in, not the posterior mean, so that a user folded in later is the same.
        user_factors, user_biases = fold_in_all(ratings, learned, n_threads=n_threads)
        learned = replace(learned, user_factors=user_factors, user_biases=user_biases)
        return replace(learned, uncertainty=mean.uncertainty.around(learned, mean.scale)).checked()

    def _sample(
        self,
        mean: "PosteriorMean",
        rng: np.random.Generator,
        progress: ProgressCallback,
        pool: "ThreadPoolExecutor",
        n_threads: int,
    ) -> None:
        """Run the chain, adding each draw after the burn-in to `mean`, until the mean has settled."""
        # numba takes a second to import, which processes that never fit must not pay; hence not at the top.
        from app.algorithms.gibbs import GibbsChain

        n_dimensions = self.n_dimensions or (FEW_DIMENSIONS if len(mean.ratings) < MANY_RATINGS else MANY_DIMENSIONS)
        chain, probes = GibbsChain(mean.ratings, mean.targets, n_dimensions, rng), _Probes(mean.ratings, rng)
        for epoch in range(self.n_epochs):
            chain.sweep(rng, pool, n_threads)
            # The training error of one draw, not of the mean: there is no held-out slice here, since nothing is tuned.
            draw = f"RMSE of the draw {mean.scale * np.sqrt(chain.noise):.4f}"
            report_epoch(progress, "bayesian_mf", epoch, self.n_epochs, draw, unit="sweep")
            if epoch < int(BURN_IN * self.n_epochs):
                continue
            mean.add(chain)
            if probes.have_settled(chain):
                return


class _Probes:
    """Randomly paired users and items, whose mean prediction tells when more draws change nothing."""

    def __init__(self, ratings: RatingMatrix, rng: np.random.Generator) -> None:
        positions = rng.choice(len(ratings), min(len(ratings), N_PROBES), replace=False)
        self.user_rows = ratings.user_rows[positions]
        # Items are permuted against users, so most pairs are unrated, like the pairs that a ranking predicts.
        self.item_rows = ratings.item_rows[rng.permutation(positions)]
        # sums[n]: the sum of the predictions of the first n CHECK_EVERY draws.
        self.sums: list[Float64Array] = [np.zeros(len(positions))]
        self.sum, self.n_draws = np.zeros(len(positions)), 0

    def have_settled(self, chain: "GibbsChain") -> bool:
        """Add this draw; whether the mean of all draws is close to the mean of their first half."""
        users, items = chain.users[self.user_rows], chain.item_means[self.item_rows]
        # p_u . q_i + b_u + b_i, the bias being the last coordinate
        self.sum += np.einsum("nk,nk->n", users[:, :-1], items[:, :-1]) + users[:, -1] + items[:, -1]
        self.n_draws += 1
        if self.n_draws % CHECK_EVERY:
            return False
        self.sums.append(self.sum.copy())
        n_halves = (len(self.sums) - 1) // 2
        if n_halves == 0 or len(self.sums) % 2 == 0:  # no first half of whole checks to compare with
            return False
        change = self.sum / self.n_draws - self.sums[n_halves] / (n_halves * CHECK_EVERY)
        return bool(np.mean(change**2) < SETTLED_SHARE * chain.noise)


class PosteriorMean:
    """Accumulates draws and turns their mean into rating vectors; memory does not grow with the number of draws.

    `ratings`: the ratings sampled from. `targets`: (n,) float32, the ratings with mean 0 and variance 1.
    `centre`, `scale`: rating = centre + scale target.
    """

    def __init__(self, ratings: RatingMatrix, n_factors: int) -> None:
        self.ratings = ratings
        values = ratings.values.astype(np.float64)
        self.centre = float(values.mean()) if len(values) else 0.0
        self.scale = (float(values.std()) if len(values) else 0.0) or 1.0  # where all are equal, nothing is to scale
        self.targets = ((values - self.centre) / self.scale).astype(np.float32)
        self.product = MeanProduct(n_factors)
        self.n_draws = 0
        self.user_biases, self.item_biases = np.zeros(ratings.n_users), np.zeros(ratings.n_items + 1)
        self.noise = 0.0
        self.uncertainty = PosteriorUncertainty(ratings)

    def add(self, chain: "GibbsChain") -> None:
        """Add the current draw."""
        # Rao-Blackwell: given the users, the conditional mean of the items is known, and it has the same expectation as
        # their draws and less variance.
        if self.n_draws % PRODUCT_EVERY == 0:
            self.product.add(chain.users[:, :-1], chain.item_means[:, :-1])
        # Biases are averaged over all draws: they cost n additions, not a product.
        self.user_biases += chain.users[:, -1]
        self.item_biases += chain.item_means[:, -1]
        self.noise += chain.noise
        self.uncertainty.add(chain)
        self.n_draws += 1

    def vectors(self) -> RatingVectors:
        """The rating vectors with the precision of the fold-in; their user side is still 0."""
        if not self.n_draws:
            return self._vectors(0.0, np.zeros(self.ratings.n_items), np.zeros((self.ratings.n_items, 0)), None)
        p, q = (side.astype(np.float64) for side in self.product.sides())
        x = np.hstack([p, self.user_biases[:, None] / self.n_draws])  # (p_u, b_u)
        mean, x, item_biases, q = _centred(x, self.item_biases / self.n_draws, q, self.ratings.user_counts > 0)
        precision = self._precision(mean, x, item_biases, q)
        return self._vectors(mean, item_biases, q, precision)

    def _precision(self, mean: float, x: Float64Array, item_biases: Float64Array, q: Float64Array) -> Float64Array:
        """The precision with which a fold-in reproduces x, (n_users, k + 1), approximately."""
        users, items = self.ratings.user_rows, self.ratings.item_rows
        # f = (q_i, 1), the features of an item in the fold-in
        f = np.hstack([q, np.ones((len(q), 1))])
        # t - x . f for every rating. Column by column: the gathered matrices would take n_ratings (k + 1) numbers each.
        errors = self.targets - mean - item_biases[items] - sum(x[users, k] * f[items, k] for k in range(x.shape[1]))
        # g_u = sum f (t - x . f)
        gradients = sparse.csr_array((errors, (users, items)), shape=(len(x), len(f))) @ f
        # Users without ratings have g = 0 whatever their precision, so they tell nothing of it.
        rated = np.flatnonzero(self.ratings.user_counts)
        return estimate_precision(
            x[rated], gradients[rated], self.ratings.user_counts[rated], self.noise / self.n_draws
        )

    def _vectors(
        self, mean: float, item_biases: Float64Array, q: Float64Array, precision: Float64Array | None
    ) -> RatingVectors:
        """From standardised to rating units: mean and biases are scaled, q_i is not (p_u will take the scale)."""
        is_rated = self.ratings.item_counts > 0
        n_users = self.ratings.n_users
        return RatingVectors(
            mean=self.centre + self.scale * mean,
            user_biases=np.zeros(n_users, np.float32),
            item_biases=(self.scale * item_biases * is_rated).astype(np.float32),
            user_factors=np.zeros((n_users, q.shape[1]), np.float32),
            item_factors=(q * is_rated[:, None]).astype(np.float32),
            regularization=0.0,
            precision=precision,
        )


def _centred(
    x: Float64Array, item_biases: Float64Array, q: Float64Array, is_user_rated: NDArray[np.bool_]
) -> tuple[float, Float64Array, Float64Array, Float64Array]:
    """The same predictions with the mean user at 0 and the future item, the last one given, at 0.

    x: (n_users, k + 1), (p_u, b_u). Returns the mean, x, and without the future item b_i and q_i. New users and new
    items can then be represented by zeros.
    """
    x = x.copy()
    # b_u + b_i + p_u . q_i = (b_u + p_u . q) + b_i + p_u . (q_i - q),    q that of the future item
    x[:, -1] += x[:, :-1] @ q[-1]
    q = q[:-1] - q[-1]
    # p_u . q_i = (p_u - p) . q_i + p . q_i,    p the mean user; the last term becomes part of b_i
    mean_user = x[is_user_rated].mean(axis=0)
    mean, item_biases = item_biases[-1] + mean_user[-1], item_biases[:-1] - item_biases[-1] + q @ mean_user[:-1]
    return mean, x - mean_user, item_biases, q
