"""Logistic factors: how likely a user is engaged by an item, learned from labels 0 and 1 or ratings at a threshold.

    P(engaged) = sigmoid(b + b_u + b_i + p_u . x_i)

The logistic regression of the documents, w . x + b with the cross-entropy as its loss, for every user; x_i, what is
known of the item, is learned too, by the same regression with the users given (C. Johnson, "Logistic Matrix
Factorization for Implicit Feedback Data", 2014, on observed labels). Where there are features f_i, x_i is not expected
at 0 but at V f_i, and b_i at v . f_i, with V and v learned; users likewise (D. Agarwal, B.-C. Chen, "Regression-based
Latent Factor Models", 2009). So what has no labels is known by its features. Minimised, with l_ui the log-odds and m
the number of labels of a row, or of all rows that have a feature:

    sum_ui log(1 + exp(l_ui)) - y_ui l_ui
        + regularization / 2 sum_i (m_i + 60) |x_i - V f_i|^2 + 60 (b_i - v . f_i)^2
        + regularization / 2 sum_f (m_f + 60) |V_f|^2 + 60 v_f^2   and users likewise
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
from app.algorithms.errors import FitDivergedError
from app.algorithms.fold_in import PRIOR_RATINGS
from app.algorithms.hyperparameters import check_hyperparameters, hyperparameter
from app.algorithms.learner import ItemRows, Progress, UserRows, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

if TYPE_CHECKING:
    from app.algorithms.logistic_kernel import LabelRows

RELATIVE_GAIN = 1e-3
"""What is minimised has settled when an epoch lowers it by less."""

INITIAL_SPREAD = 0.1
"""Of the items' factors: small, so that factors grow in order of their strength."""

_ROWS_PER_TASK = 32
_CG_STEPS = 10  # each epoch goes on from the last one's solution

Wide = NDArray[np.float64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Logistic:
    """`threshold`: a rating is 1 from here on; None: labels of 0 and 1 are themselves, other ratings 1 from their mean.

    `n_epochs`: at most. `regularization`: as above; log-odds have no scale that could differ. Of 0.03 to 0.05, 0.04 was
    within 2 % of the least log-loss on MovieLens (latest small), on 30 % of it, and on ratings of rank 4.
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
        progress: Progress = ignore,
        *,
        n_threads: int | None = None,
    ) -> "Engagement":
        """The log-odds; of ratings of at most two values `LabelOdds`, which predict ratings, too.

        `n_threads`: as many as there are cores, unless said; the bits do not depend on it.
        """
        threshold = threshold_of(ratings.values) if self.threshold is None else self.threshold
        n_ones = np.count_nonzero(ratings.values >= threshold)
        # b: the log-odds of all labels, as if there were one more of each
        intercept = float(np.log((n_ones + 1) / (len(ratings) - n_ones + 1)))
        of_users, of_items = (ratings.features.users, ratings.features.items) if ratings.features else (None, None)
        users = _Side.of(ratings.by_user, threshold, intercept, of_users, self)
        items = _Side.of(ratings.by_item, threshold, intercept, of_items, self)
        items.rows[:, :-1] = rng.normal(0, INITIAL_SPREAD, (ratings.n_items, self.n_factors))
        least = np.inf
        with thread_pool(n_threads or available_cores()) as pool:
            for epoch in range(self.n_epochs):
                users.regress(items.rows, pool)
                minimised = items.regress(users.rows, pool) + users.penalty()
                if not np.isfinite(minimised):
                    raise FitDivergedError("the log-odds left the finite numbers; try a greater regularization")
                progress((epoch + 1) / self.n_epochs, f"epoch {epoch + 1} of {self.n_epochs}")
                if minimised > (1 - RELATIVE_GAIN) * least:
                    break
                least = minimised
            users.fold_in(items.rows, pool)
        progress(1.0, "folded in")
        log_odds = RatingVectors(
            mean=intercept,
            user_biases=users.rows[:, -1].astype(np.float32),
            item_biases=items.rows[:, -1].astype(np.float32),
            user_factors=users.rows[:, :-1].astype(np.float32),
            item_factors=items.rows[:, :-1].astype(np.float32),
            regularization=self.regularization,
        ).checked()
        low, high = labels_of(ratings.values)
        is_two_valued = np.isin(ratings.values, (low, high)).all()
        return LabelOdds(log_odds, low, high) if is_two_valued else Engagement(log_odds)


@dataclass(frozen=True)
class Engagement:
    """`log_odds`: b + b_u + b_i + p_u . x_i, in the shape of rating vectors, though they are no ratings.

    The user side is the fold-in of every user (`EngagementFoldIn`), where there are no features.
    """

    log_odds: RatingVectors

    def probabilities(self, user_rows: UserRows, item_rows: ItemRows) -> Floats:
        """P(engaged) of each pair: (n,) rows -> (n,) float32 from 0 to 1."""
        probabilities: Floats = expit(self.log_odds.predict(user_rows, item_rows))
        return probabilities

    def scores(self, user_rows: UserRows) -> Floats:
        """The log-odds of all items for some users: (b,) rows -> (b, n_items)."""
        of_users = np.float32(self.log_odds.mean) + self.log_odds.user_biases[user_rows]
        scores: Floats = self.log_odds.scores(user_rows) + of_users[:, None]
        return scores


@dataclass(frozen=True)
class LabelOdds(Engagement):
    """Of ratings that are labels: `low`, not engaged, and `high`, engaged; 0 and 1 as a rule."""

    low: float
    high: float

    def predict(self, user_rows: UserRows, item_rows: ItemRows) -> Floats:
        """The rating to expect of each pair, which of 0 and 1 is the probability: (n,) rows -> (n,) float32."""
        share = self.probabilities(user_rows, item_rows)
        predicted: Floats = np.float32(self.low) + np.float32(self.high - self.low) * share
        return predicted


@dataclass
class _Side:
    """Users or items: `rows`, (n, k + 1), the factors and the bias of each, and what their features let one expect.

    `features`: (n, f) CSR. `coefficients`: (f, k + 1), V and v. `expected`: (n, k + 1), features . coefficients.
    `penalties`: (n, k + 1), of a row's distance from what is expected; `penalties_of_coefficients`: (f, k + 1).
    """

    labels: "LabelRows"
    rows: Wide
    features: sparse.csr_array
    coefficients: Wide
    expected: Wide
    penalties: Wide
    penalties_of_coefficients: Wide

    @classmethod
    def of(
        cls,
        ratings: sparse.csr_array,
        threshold: float,
        intercept: float,
        features: sparse.csr_array | None,
        settings: Logistic,
    ) -> Self:
        # numba takes a second to import: not at the top, where processes that never learn would pay for it.
        from app.algorithms.logistic_kernel import LabelRows  # noqa: PLC0415  see above

        starts, others = ratings.indptr.astype(np.int64), ratings.indices.astype(np.int32)
        n_rows, width = ratings.shape[0], settings.n_factors + 1
        known = sparse.csr_array((n_rows, 0)) if features is None else features.astype(np.float64)
        n_labels = np.diff(ratings.indptr).astype(np.float64)

        def penalties(counts: Wide) -> Wide:
            each = np.full((len(counts), width), settings.regularization * PRIOR_RATINGS)
            each[:, :-1] += settings.regularization * counts[:, None]
            return each

        return cls(
            labels=LabelRows(starts, others, ratings.data >= threshold, intercept),
            rows=np.zeros((n_rows, width)),
            features=known,
            coefficients=np.zeros((known.shape[1], width)),
            expected=np.zeros((n_rows, width)),
            penalties=penalties(n_labels),
            penalties_of_coefficients=penalties(np.asarray(known.power(2).T @ n_labels)),
        )

    def regress(self, given: Wide, pool: ThreadPoolExecutor) -> float:
        """Improve what features let one expect, then every row; returns what is minimised, this side's part, before."""
        from app.algorithms.logistic_kernel import regress_rows  # noqa: PLC0415  see `of`

        self._expect()
        minimised: float = sum(self._each_task(regress_rows, given, pool))
        return minimised + self._penalty_of_coefficients()

    def fold_in(self, given: Wide, pool: ThreadPoolExecutor) -> None:
        """As `regress`, but every row to its minimum."""
        from app.algorithms.logistic_kernel import fold_in_rows  # noqa: PLC0415  see `of`

        self._expect()
        self._each_task(fold_in_rows, given, pool)

    def _each_task(self, kernel: Callable[..., Any], given: Wide, pool: ThreadPoolExecutor) -> list[Any]:
        """What `kernel` returns of some rows after the other."""
        bounds = itertools.pairwise([*range(0, len(self.rows), _ROWS_PER_TASK), len(self.rows)])
        tasks = [
            pool.submit(kernel, *each, self.labels, given, self.expected, self.penalties, self.rows) for each in bounds
        ]
        return [task.result() for task in tasks]

    def penalty(self) -> float:
        """What is minimised, this side's part without the labels."""
        of_rows = 0.5 * float(np.sum(self.penalties * (self.rows - self.expected) ** 2))
        return of_rows + self._penalty_of_coefficients()

    def _penalty_of_coefficients(self) -> float:
        return 0.5 * float(np.sum(self.penalties_of_coefficients * self.coefficients**2))

    def _expect(self) -> None:
        """The ridge regression of the rows on their features, by conjugate gradients, since features may be many."""
        n_features = self.features.shape[1]
        if not n_features or not self.rows.any():
            return
        for column in range(self.rows.shape[1]):
            # (F' D F + C) v = F' D x,  D the penalties of the column x of the rows, C those of its coefficients
            weighted = self.features.T.multiply(self.penalties[:, column]).tocsr()
            product = _GramProduct(weighted, self.features, self.penalties_of_coefficients[:, column])
            gram = LinearOperator((n_features, n_features), matvec=product, dtype=np.float64)
            right = weighted @ self.rows[:, column]
            self.coefficients[:, column], _ = cg(gram, right, self.coefficients[:, column], maxiter=_CG_STEPS)
        self.expected = self.features @ self.coefficients


@dataclass(frozen=True)
class _GramProduct:
    weighted: sparse.csr_array
    features: sparse.csr_array
    diagonal: Wide

    def __call__(self, v: Wide) -> Wide:
        product: Wide = self.weighted @ (self.features @ v) + self.diagonal * v
        return product


def threshold_of(values: Floats) -> float:
    """What makes a rating a 1 where nobody says: their mean, but of labels 0 and 1 alone 1."""
    return 1.0 if np.isin(values, (0, 1)).all() else float(values.mean(dtype=np.float64))


def labels_of(values: Floats) -> tuple[float, float]:
    """The least and the greatest rating, but of labels 0 and 1 alone 0 and 1."""
    return (0.0, 1.0) if np.isin(values, (0, 1)).all() else (float(values.min()), float(values.max()))
