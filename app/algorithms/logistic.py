"""Logistic matrix factorisation: the probability that a user engages with an item, from binary labels.

    P(positive) = sigmoid(b + b_u + b_i + p_u . x_i)

C. Johnson, "Logistic Matrix Factorization for Implicit Feedback Data" (2014), on observed labels only: for every user a
logistic regression with cross-entropy loss on the item vectors x_i, and for every item one on the user vectors.

With features f_i, the prior mean of x_i is V f_i instead of 0, and that of b_i is v . f_i, with V and v learned; users
likewise (D. Agarwal, B.-C. Chen, "Regression-based Latent Factor Models", 2009). Rows without labels are then
represented by their features. Minimised, with l_ui the log-odds and m the number of labels of a row (m_i, m_u) or of
all rows with a feature (m_f):

    sum_ui log(1 + exp(l_ui)) - y_ui l_ui
        + regularization / 2 sum_i (m_i + 60) |x_i - V f_i|^2 + 60 (b_i - v . f_i)^2
        + regularization / 2 sum_f (m_f + 60) |V_f|^2 + 60 v_f^2   and users likewise

Complexity: O(n_labels k^2 + (n_users + n_items) k^3) per epoch, k = n_factors.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import expit

from app.algorithms.cores import available_cores, thread_pool
from app.algorithms.early_stopping import EarlyStopping
from app.algorithms.errors import FitDivergedError
from app.algorithms.fold_in import PRIOR_RATINGS
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import ItemRows, UserRows
from app.algorithms.progress import ProgressCallback, ignore, report_epoch
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

if TYPE_CHECKING:
    from app.algorithms.logistic_kernel import LabelRows

# The fit has converged when an epoch lowers the objective by less than this share.
RELATIVE_GAIN = 1e-3

# Standard deviation of the initial item factors: small, so that factors grow in order of their strength.
INITIAL_STD = 0.1

_ROWS_PER_TASK = 32
_CG_STEPS = 10  # few, because each epoch continues from the solution of the last one

Float64Array = NDArray[np.float64]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Logistic:
    """Learns b, b_u, b_i, p_u and x_i.

    `n_factors`: length of p_u and x_i.
    `n_epochs`: alternations of users and items, at most.
    `regularization`: penalty weight, as in the objective. Log-odds have no unit, so one value suits all data: 0.04 was
        within 2 % of the least log-loss on MovieLens (latest small), on 30 % of it, and on ratings of rank 4.
    `threshold`: ratings from this value on are positive. None keeps labels 0 and 1; else it is the mean.
    """

    n_factors: int = hyperparameter(16, low=1, high=1024)
    n_epochs: int = hyperparameter(50, low=1, high=100_000)
    regularization: float = hyperparameter(0.04, low=1e-6, high=1e6)
    threshold: float | None = hyperparameter(None)

    def __post_init__(self) -> None:
        check_hyperparameters(self)

    def fit(
        self,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback = ignore,
        *,
        n_threads: int | None = None,
    ) -> "EngagementVectors":
        """Engagement vectors; `BinaryRatingVectors`, which also predict ratings, where ratings have two values at most.

        `n_threads`: by default the number of cores; the result does not depend on it. Raises `FitDivergedError`.
        """
        threshold = threshold_of(ratings.values) if self.threshold is None else self.threshold
        n_positive = np.count_nonzero(ratings.values >= threshold)
        # b = log((n_1 + 1) / (n_0 + 1)), the log-odds of all labels; + 1 keeps it finite where one kind is missing.
        intercept = float(np.log((n_positive + 1) / (len(ratings) - n_positive + 1)))
        user_features, item_features = (
            (ratings.features.users, ratings.features.items) if ratings.features else (None, None)
        )
        users = _Side.from_labels(ratings.by_user, threshold, intercept, user_features, self)
        items = _Side.from_labels(ratings.by_item, threshold, intercept, item_features, self)
        # Random on one side only: with p_u = x_i = 0 both gradients vanish, and no factor would ever grow.
        items.rows[:, :-1] = rng.normal(0, INITIAL_STD, (ratings.n_items, self.n_factors))
        # The objective never rises, so a single epoch with too small a gain ends the fit.
        stopping = EarlyStopping(patience=1, relative_gain=RELATIVE_GAIN)
        with thread_pool(n_threads or available_cores()) as pool:
            for epoch in range(self.n_epochs):
                users.regress(items.rows, pool)
                # The labels and the items' penalty before the item half-step, plus the users' penalty: the objective
                # after the user half-step.
                objective = items.regress(users.rows, pool) + users.penalty()
                if not np.isfinite(objective):
                    raise FitDivergedError("the log-odds are not finite; try a larger regularization")
                measure = f"objective {objective / max(1, len(ratings)):.4f} per label"
                report_epoch(progress, "logistic", epoch, self.n_epochs, measure)
                if not stopping.improves(epoch, objective) and stopping.is_over(epoch):
                    break
            # Half-steps improve rows by one step each; the published user side is solved to convergence.
            users.fold_in(items.rows, pool)
        progress(1.0, "logistic users folded in")
        log_odds = RatingVectors(
            mean=intercept,
            user_biases=users.rows[:, -1].astype(np.float32),
            item_biases=items.rows[:, -1].astype(np.float32),
            user_factors=users.rows[:, :-1].astype(np.float32),
            item_factors=items.rows[:, :-1].astype(np.float32),
            regularization=self.regularization,
        ).checked()
        # Only ratings of two values can be predicted from a probability.
        low, high = labels_of(ratings.values)
        is_two_valued = np.isin(ratings.values, (low, high)).all()
        return BinaryRatingVectors(log_odds, low, high) if is_two_valued else EngagementVectors(log_odds)


@dataclass(frozen=True)
class EngagementVectors:
    """`log_odds`: l_ui = b + b_u + b_i + p_u . x_i, stored as rating vectors, although log-odds are not ratings.

    Without user features, the user side is the fold-in of every user (`EngagementFoldIn`).
    """

    log_odds: RatingVectors

    def probabilities(self, user_rows: UserRows, item_rows: ItemRows) -> Float32Array:
        """P(positive) of each pair: (n,) rows each -> (n,) float32 from 0 to 1."""
        probabilities: Float32Array = expit(self.log_odds.predict(user_rows, item_rows))
        return probabilities

    def scores(self, user_rows: UserRows) -> Float32Array:
        """The log-odds of all items: (b,) user rows -> (b, n_items) float32."""
        # `RatingVectors.scores` leaves out b + b_u, which changes no order of items but is part of the log-odds.
        user_terms = np.float32(self.log_odds.mean) + self.log_odds.user_biases[user_rows]
        scores: Float32Array = self.log_odds.scores(user_rows) + user_terms[:, None]
        return scores


@dataclass(frozen=True)
class BinaryRatingVectors(EngagementVectors):
    """The result for ratings of two values, `low` for negative and `high` for positive; usually 0 and 1."""

    low: float
    high: float

    def predict(self, user_rows: UserRows, item_rows: ItemRows) -> Float32Array:
        """The expected rating of each pair, low + (high - low) P(positive): (n,) rows each -> (n,) float32."""
        probability = self.probabilities(user_rows, item_rows)
        predicted: Float32Array = np.float32(self.low) + np.float32(self.high - self.low) * probability
        return predicted


@dataclass
class _Side:
    """The parameters of the users or the items, which `regress` and `fold_in` change in place.

    `labels`: by row of this side. `rows`: (n, k + 1) float64, factors and bias of each row.
    `features`: (n, f) CSR. `coefficients`: (f, k + 1), V and v. `expected`: (n, k + 1), features . coefficients.
    `penalties`: (n, k + 1), of the distance of a row from its expectation. `penalties_of_coefficients`: (f, k + 1).
    """

    labels: "LabelRows"
    rows: Float64Array
    features: sparse.csr_array
    coefficients: Float64Array
    expected: Float64Array
    penalties: Float64Array
    penalties_of_coefficients: Float64Array

    @classmethod
    def from_labels(
        cls,
        ratings: sparse.csr_array,
        threshold: float,
        intercept: float,
        features: sparse.csr_array | None,
        settings: Logistic,
    ) -> Self:
        """All parameters 0. `ratings`: by row of this side; values from `threshold` on are positive labels."""
        # numba takes a second to import, which processes that never fit must not pay; hence not at the top.
        from app.algorithms.logistic_kernel import LabelRows

        starts, other_rows = ratings.indptr.astype(np.int64), ratings.indices.astype(np.int32)
        n_rows, width = ratings.shape[0], settings.n_factors + 1
        # Without features the matrix has no columns, and every expectation stays 0.
        known = sparse.csr_array((n_rows, 0)) if features is None else features.astype(np.float64)
        n_labels = np.diff(ratings.indptr).astype(np.float64)

        def penalties(counts: Float64Array) -> Float64Array:
            """Regularization (m + 60) of factors and 60 regularization of the bias, for rows with m labels."""
            each = np.full((len(counts), width), settings.regularization * PRIOR_RATINGS)
            each[:, :-1] += settings.regularization * counts[:, None]
            return each

        return cls(
            labels=LabelRows(starts, other_rows, ratings.data >= threshold, intercept),
            rows=np.zeros((n_rows, width)),
            features=known,
            coefficients=np.zeros((known.shape[1], width)),
            expected=np.zeros((n_rows, width)),
            penalties=penalties(n_labels),
            penalties_of_coefficients=penalties(np.asarray(known.power(2).T @ n_labels)),
        )

    def regress(self, given: Float64Array, pool: ThreadPoolExecutor) -> float:
        """Improve the coefficients, then every row by one step; returns this side's part of the objective before."""
        from app.algorithms.logistic_kernel import regress_rows

        self._expect()
        # Summed in the order of the tasks, so that the total does not depend on timing.
        objective: float = sum(self._each_task(regress_rows, given, pool))
        return objective + self._penalty_of_coefficients()

    def fold_in(self, given: Float64Array, pool: ThreadPoolExecutor) -> None:
        """As `regress`, but every row is solved to convergence."""
        from app.algorithms.logistic_kernel import fold_in_rows

        self._expect()
        self._each_task(fold_in_rows, given, pool)

    def _each_task(self, kernel: Callable[..., Any], given: Float64Array, pool: ThreadPoolExecutor) -> list[Any]:
        """The results of `kernel` on consecutive ranges of rows."""
        # Small tasks, because rows with many labels take far longer than others.
        bounds = itertools.pairwise([*range(0, len(self.rows), _ROWS_PER_TASK), len(self.rows)])
        tasks = [
            pool.submit(kernel, *each, self.labels, given, self.expected, self.penalties, self.rows) for each in bounds
        ]
        return [task.result() for task in tasks]

    def penalty(self) -> float:
        """The penalty terms of this side in the objective."""
        of_rows = 0.5 * float(np.sum(self.penalties * (self.rows - self.expected) ** 2))
        return of_rows + self._penalty_of_coefficients()

    def _penalty_of_coefficients(self) -> float:
        return 0.5 * float(np.sum(self.penalties_of_coefficients * self.coefficients**2))

    def _expect(self) -> None:
        """Fit the coefficients: a ridge regression of the rows on their features, one column at a time."""
        n_features = self.features.shape[1]
        if not n_features or not self.rows.any():
            return
        for column in range(self.rows.shape[1]):
            # (F' D F + C) v = F' D x, with x the column of the rows, D its penalties and C those of the coefficients.
            # By conjugate gradients: with thousands of features F' D F would be large and dense.
            weighted = self.features.T.multiply(self.penalties[:, column]).tocsr()
            product = _GramProduct(weighted, self.features, self.penalties_of_coefficients[:, column])
            gram = LinearOperator((n_features, n_features), matvec=product, dtype=np.float64)
            right = weighted @ self.rows[:, column]
            self.coefficients[:, column], _ = cg(gram, right, self.coefficients[:, column], maxiter=_CG_STEPS)
        self.expected = self.features @ self.coefficients


@dataclass(frozen=True)
class _GramProduct:
    """v -> F' D (F v) + C v, without forming F' D F; `weighted` is F' D, `diagonal` is C."""

    weighted: sparse.csr_array
    features: sparse.csr_array
    diagonal: Float64Array

    def __call__(self, v: Float64Array) -> Float64Array:
        product: Float64Array = self.weighted @ (self.features @ v) + self.diagonal * v
        return product


def threshold_of(values: Float32Array) -> float:
    """The default threshold: 1 where all ratings are labels 0 and 1, else their mean."""
    return 1.0 if np.isin(values, (0, 1)).all() else float(values.mean(dtype=np.float64))


def labels_of(values: Float32Array) -> tuple[float, float]:
    """The least and the greatest rating; 0 and 1 where all ratings are labels, even if all are equal."""
    return (0.0, 1.0) if np.isin(values, (0, 1)).all() else (float(values.min()), float(values.max()))
