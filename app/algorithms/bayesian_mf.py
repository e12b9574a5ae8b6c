"""Bayesian matrix factorisation: the mean of many factorisations drawn from the posterior. The quality learner.

R. Salakhutdinov, A. Mnih, "Bayesian Probabilistic Matrix Factorization using Markov Chain Monte Carlo" (2008). The
draws are those of `gibbs.py`; their mean is one product again (`gibbs_mean.py`), in which every user is then folded in
with a prior learned from the users themselves (`bayesian_mf_prior.py`). There is no penalty and no rate to tune.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from app.algorithms.bayesian_mf_mean import PosteriorMean
from app.algorithms.cores import available_cores, thread_pool
from app.algorithms.fold_in import fold_in_all
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import Progress, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from numpy.typing import NDArray

    from app.algorithms.gibbs import Chain

BURN_IN = 0.15
"""The share of sweeps, the first, that are not yet draws from the posterior."""

MANY_RATINGS = 200_000
FEW_DIMENSIONS, MANY_DIMENSIONS = 8, 16
"""More ratings tell more dimensions apart. Too many do no harm, other than time: their draws average to nothing."""

SETTLED = 0.002
"""The mean has settled when the second half of the draws moves it by this share of the noise, both as variances."""

RATINGS_WORTH_THREADS = 10_000
"""Below this a sweep is over before threads are under way."""

CHECK_EVERY = 10
PROBES = 10_000


@dataclass(frozen=True)
class BayesianMF:
    """Learns mu + b_u + b_i + p_u . q_i.

    `n_factors`: columns of the mean of all draws, at most. `n_dimensions`: factors of one draw; 0: 8, and 16 from
    200,000 ratings. `n_epochs`: sweeps, at most; it stops when more of them would change the predictions no more.
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
        progress: Progress = ignore,
        *,
        n_threads: int | None = None,
    ) -> RatingVectors:
        """The vectors. Their user side is the fold-in of every user: what is served, and about as good as the draws'.

        `n_threads`: as many as there are cores, unless said; the bits do not depend on it. Raises `FitDivergedError`.
        """
        n_threads = n_threads or (available_cores() if len(ratings) >= RATINGS_WORTH_THREADS else 1)
        mean = PosteriorMean(ratings, self.n_factors)
        with thread_pool(n_threads) as pool:
            if len(ratings):
                self._sample(mean, rng, progress, pool, n_threads)
            progress(1.0, "sampled")
            learned = mean.vectors().checked()
        user_factors, user_biases = fold_in_all(ratings, learned, n_threads=n_threads)
        learned = replace(learned, user_factors=user_factors, user_biases=user_biases)
        return replace(learned, spread=mean.spread.around(learned, mean.scale)).checked()

    def _sample(
        self,
        mean: PosteriorMean,
        rng: np.random.Generator,
        progress: Progress,
        pool: "ThreadPoolExecutor",
        n_threads: int,
    ) -> None:
        # numba takes a second to import: not at the top, where processes that never learn would pay for it.
        from app.algorithms.gibbs import Chain  # noqa: PLC0415  see above

        n_dimensions = self.n_dimensions or (FEW_DIMENSIONS if len(mean.ratings) < MANY_RATINGS else MANY_DIMENSIONS)
        chain, probes = Chain(mean.ratings, mean.targets, n_dimensions, rng), _Probes(mean.ratings, rng)
        for epoch in range(self.n_epochs):
            chain.sweep(rng, pool, n_threads)
            progress((epoch + 1) / self.n_epochs, f"sweep {epoch + 1} of {self.n_epochs}")
            if epoch < int(BURN_IN * self.n_epochs):
                continue
            mean.add(chain)
            if probes.have_settled(chain):
                return


class _Probes:
    """Pairs of users and items, paired by chance, whose mean prediction tells when more draws change nothing."""

    def __init__(self, ratings: RatingMatrix, rng: np.random.Generator) -> None:
        positions = rng.choice(len(ratings), min(len(ratings), PROBES), replace=False)
        self.user_rows = ratings.user_rows[positions]
        self.item_rows = ratings.item_rows[rng.permutation(positions)]
        self.sums: list[NDArray[np.float64]] = [np.zeros(len(positions))]
        self.sum, self.n_draws = np.zeros(len(positions)), 0

    def have_settled(self, chain: "Chain") -> bool:
        """Whether the mean of all draws, with this one, is close to the mean of the first half of them."""
        of_users, of_items = chain.users[self.user_rows], chain.item_means[self.item_rows]
        self.sum += np.einsum("nk,nk->n", of_users[:, :-1], of_items[:, :-1]) + of_users[:, -1] + of_items[:, -1]
        self.n_draws += 1
        if self.n_draws % CHECK_EVERY:
            return False
        self.sums.append(self.sum.copy())
        n_halves = (len(self.sums) - 1) // 2
        if n_halves == 0 or len(self.sums) % 2 == 0:
            return False
        change = self.sum / self.n_draws - self.sums[n_halves] / (n_halves * CHECK_EVERY)
        return bool(np.mean(change**2) < SETTLED * chain.noise)
