"""Ready to be measured alike: every algorithm of ours, and the peers as learners of the same protocol."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import RatingMatrix

Rows = NDArray[np.integer]


@dataclass(frozen=True)
class Surprise:
    """An algorithm of scikit-surprise, made by `make`; it only predicts ratings."""

    make: Callable[[], Any]

    def fit(
        self, ratings: RatingMatrix, _rng: np.random.Generator, _progress: ProgressCallback = ignore
    ) -> "SurpriseFit":
        import surprise  # noqa: PLC0415  a peer, installed by `make bench` alone

        scale = float(ratings.values.min()), float(ratings.values.max())
        columns = (ratings.user_rows.tolist(), ratings.item_rows.tolist(), ratings.values.tolist())
        rows = [(user, item, value, None) for user, item, value in zip(*columns, strict=True)]
        trainset = surprise.Dataset(surprise.Reader(rating_scale=scale)).construct_trainset(rows)
        return SurpriseFit(self.make().fit(trainset), ratings.n_items)


@dataclass(frozen=True)
class SurpriseFit:
    learned: Any
    n_items: int

    def predict(self, user_rows: Rows, item_rows: Rows) -> NDArray[np.float32]:
        pairs = zip(user_rows.tolist(), item_rows.tolist(), strict=True)
        return np.array([self.learned.predict(*pair).est for pair in pairs], np.float32)

    def scores(self, user_rows: Rows) -> NDArray[np.float32]:
        return np.stack([self.predict(np.full(self.n_items, user), np.arange(self.n_items)) for user in user_rows])


@dataclass(frozen=True)
class Implicit:
    """Alternating least squares of the implicit library; every rating is an observation."""

    n_factors: int = 64
    regularization: float = 0.01
    alpha: float = 1.0
    n_epochs: int = 15
    n_threads: int = 0  # all cores

    def fit(
        self, ratings: RatingMatrix, rng: np.random.Generator, _progress: ProgressCallback = ignore
    ) -> "ImplicitFit":
        from implicit.als import AlternatingLeastSquares  # noqa: PLC0415  a peer, installed by `make bench` alone

        learner = AlternatingLeastSquares(
            factors=self.n_factors,
            regularization=self.regularization,
            alpha=self.alpha,
            iterations=self.n_epochs,
            num_threads=self.n_threads,
            random_state=int(rng.integers(2**31)),
        )
        observed = ratings.by_user
        ones = np.ones(len(ratings), np.float32)
        matrix = sparse.csr_matrix((ones, observed.indices, observed.indptr), observed.shape)
        with threadpool_limits(1, "blas"):  # as its authors ask for
            learner.fit(matrix, show_progress=False)
        return ImplicitFit(learner.user_factors, learner.item_factors)


@dataclass(frozen=True)
class ImplicitFit:
    user_factors: NDArray[np.float32]
    item_factors: NDArray[np.float32]

    def scores(self, user_rows: Rows) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = self.user_factors[user_rows] @ self.item_factors.T
        return scores
