"""Content-based filtering: for every user a linear regression on known features of the items; and its dual.

The regression of the documents, r^_ui = mu + b_i + b_u + p_u . x_i with the features x_i given and the user's weights
p_u to be found, made fit for users of few ratings: all users' weights are draws from one normal distribution, whose
covariance is learned from the users themselves, with the noise, by expectation maximisation (N. Laird, J. Ware,
"Random-Effects Models for Longitudinal Data", 1982). So nothing has to be tuned: features that move nobody are held
near 0, and those that move many are believed from a few ratings on. Items without ratings have their features.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from app.algorithms.errors import FeaturesNeededError
from app.algorithms.feature_map import FeatureMap
from app.algorithms.features import Features
from app.algorithms.fold_in import fold_in_all
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import Progress, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.user_covariance import Population, learn_population

START_VARIANCE = 0.1
"""Of what features say of a rating, and of an item's bias, in units of the ratings' variance, before it is learned."""

SETTLED = 1e-3
"""A noise that changes by a smaller part has been found."""

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]


@dataclass(frozen=True)
class ContentLinear:
    """Learns p_u and b_u for known features of the items, x_i, which are the item factors as they stand.

    `n_factors`: more feature columns than this are replaced by so many of their principal components. `n_epochs`: at
    most so often are items and users learned in turns. `regularization`: multiplies the learned penalty; 0 is plain
    least squares. `biased` False: items have no bias b_i, as in the documents.
    """

    n_factors: int = hyperparameter(64, low=1, high=1024)
    n_epochs: int = hyperparameter(6, low=1, high=1000)
    regularization: float = hyperparameter(1.0, low=0.0, high=1e6)
    biased: bool = hyperparameter(default=True)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: Progress = ignore) -> RatingVectors:
        """The vectors; their user side is the fold-in of every user. An item without ratings keeps its features.

        Raises `FeaturesNeededError` where nothing is known of any item.
        """
        features = _required(ratings.features.items if ratings.features else None, "items")
        columns = _columns(features, ratings.item_counts, self.n_factors)
        mean = float(ratings.values.mean(dtype=np.float64)) if len(ratings) else 0.0
        variance = float(ratings.values.var(dtype=np.float64)) if len(ratings) else 0.0
        learned = RatingVectors(
            mean=mean,
            user_biases=np.zeros(ratings.n_users, np.float32),
            item_biases=np.zeros(ratings.n_items, np.float32),
            user_factors=np.zeros((ratings.n_users, columns.shape[1]), np.float32),
            item_factors=columns,
            regularization=0.0,
        )
        population = Population.start(columns, variance or 1.0, START_VARIANCE)
        own_variance, bias_variance = START_VARIANCE * population.noise, 0.0
        for epoch in range(self.n_epochs):
            if self.biased:
                item_biases, own_variance = _item_biases(ratings, features, learned, population.noise, own_variance)
                learned = replace(learned, item_biases=item_biases)
                bias_variance = _bias_variance(ratings, population.noise, own_variance)
            before = population.noise
            population = learn_population(ratings, learned, population, bias_variance, rng)
            precision = population.precision * self.regularization if self.regularization else None
            learned = replace(learned, precision=precision).checked()
            user_factors, user_biases = fold_in_all(ratings, learned)
            learned = replace(learned, user_factors=user_factors, user_biases=user_biases)
            progress((epoch + 1) / self.n_epochs, f"epoch {epoch + 1} of {self.n_epochs}")
            if abs(population.noise - before) <= SETTLED * before:
                break
        progress(1.0, "learned")
        return learned.checked()


@dataclass(frozen=True)
class ContentLinearDual:
    """The same with the sides exchanged: for every item a regression on known features of the users.

    The user factors are the features x_u as they stand, so a user without ratings has them; no fold-in applies.
    """

    n_factors: int = hyperparameter(64, low=1, high=1024)
    n_epochs: int = hyperparameter(6, low=1, high=1000)
    regularization: float = hyperparameter(1.0, low=0.0, high=1e6)
    biased: bool = hyperparameter(default=True)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: Progress = ignore) -> RatingVectors:
        """The vectors. Raises `FeaturesNeededError` where nothing is known of any user."""
        of_users = _required(ratings.features.users if ratings.features else None, "users")
        columns = (ratings.item_rows, ratings.user_rows, ratings.values)
        exchanged = RatingMatrix(ratings.n_items, ratings.n_users, *columns).described_by(
            Features(items=of_users, users=sparse.csr_array(np.zeros((ratings.n_items, 0), np.float32)))
        )
        primal = ContentLinear(self.n_factors, self.n_epochs, self.regularization, self.biased)
        learned = primal.fit(exchanged, rng, progress)
        return replace(
            learned,
            user_biases=learned.item_biases,
            item_biases=learned.user_biases,
            user_factors=learned.item_factors,
            item_factors=learned.user_factors,
            precision=None,
        )


def _required(features: sparse.csr_array | None, of_what: str) -> sparse.csr_array:
    if features is None or not features.nnz:
        raise FeaturesNeededError(f"this algorithm learns from features of {of_what}, and none of them has any")
    return features


def _columns(features: sparse.csr_array, counts: NDArray[np.int64], most: int) -> Floats:
    """(n, k) float32: the features themselves, or where there are more than `most`, their principal components."""
    if features.shape[1] <= most:
        return features.toarray().astype(np.float32)
    wide = features.astype(np.float64)
    gram = (wide.T @ sparse.diags_array(counts + 1.0) @ wide).toarray()
    n_columns = len(gram)
    _, axes = linalg.eigh(gram, subset_by_index=(n_columns - most, n_columns - 1))
    return np.asarray(wide @ axes, np.float32)


def _item_biases(
    ratings: RatingMatrix, features: sparse.csr_array, learned: RatingVectors, noise: float, variance: float
) -> tuple[Floats, float]:
    """(n_items,) b_i = what the features say of it + what its own ratings add; and how much these vary."""
    unbiased = replace(learned, item_biases=np.zeros_like(learned.item_biases))
    left = ratings.values - unbiased.predict(ratings.user_rows, ratings.item_rows)
    counts = ratings.item_counts
    sums = np.bincount(ratings.item_rows, left, ratings.n_items)
    means = np.divide(sums, counts, out=np.zeros(len(sums)), where=counts > 0)
    # n ratings with this noise know a bias that varies by this much as well as a share n / (n + noise / variance).
    weight = noise / variance
    told = FeatureMap.learn(features, means[:, None], counts / (counts + weight)).predict(features)[:, 0]
    # b_i - w . x_i = sum_u (left_ui - w . x_i) / (n_i + noise / variance), once the features have said w . x_i
    own = (sums - counts * told) / (counts + weight)
    is_rated = counts > 0
    spread = np.mean(own[is_rated] ** 2 + noise / (counts[is_rated] + weight)) if is_rated.any() else variance
    return (told + own).astype(np.float32), max(float(spread), SETTLED * noise)


def _bias_variance(ratings: RatingMatrix, noise: float, variance: float) -> float:
    """What is left of `variance` once an item's ratings are known, mean over all ratings."""
    counts = ratings.item_counts
    return float(np.sum(counts * noise / (counts + noise / variance)) / max(1, len(ratings)))
