"""The fold-in: one user's factors and bias from its ratings and fixed item vectors, by ridge regression. No numba.

    (p, b) = argmin sum (t - b - p . q)^2 + regularization (m + 60) |p|^2 + 60 regularization b^2

with t the m ratings minus mean and item biases. This is a half-step of explicit ALS (Y. Zhou et al., "Large-Scale
Parallel Collaborative Filtering for the Netflix Prize", 2008). Serving uses it for changed and new users; training uses
it for the whole published user side, so a published user and the same user folded in later have the same vector.

Complexity: O(m k min(m, k)) for one user; microseconds for usual histories.
"""

import itertools
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import eigh, lapack

from app.algorithms.cores import available_cores, thread_pool
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.storage import IN_MEMORY, Storage, filled

# The weight of the prior, in ratings: a row of m ratings is penalised by regularization (m + 60).
#
# With the default regularization, 0.08, a bias has the penalty 60 x 0.08 = 4.8 in units of the noise variance: the
# prior variance of a bias is a fifth of it. Values from 30 to 100 differ by less than 0.3 % of RMSE on all data sets
# tried.
PRIOR_RATINGS = 60.0

_USERS_PER_TASK = 32

Float64Array = NDArray[np.float64]


def fold_in(
    item_factors: NDArray[np.floating],
    targets: NDArray[np.floating],
    regularization: float,
    *,
    biased: bool = True,
    precision: Float64Array | None = None,
) -> tuple[NDArray[np.float32], float]:
    """The factors and the bias of a user with m ratings, m >= 0.

    `item_factors`: (m, k), of the rated items. `targets`: (m,), the ratings minus mean and item bias, in the rating
    scale. `regularization`, `precision`: of the `RatingVectors`. Returns ((k,) float32, bias), the minimum of

        sum (target - bias - p . q)^2 + regularization (m + 60) |p|^2 + 60 regularization bias^2

    or, with a `precision`, (2, k + 1, k + 1), of

        sum (target - bias - p . q)^2 + (p, bias)' (precision[0] + m precision[1]) (p, bias)

    Without ratings both are 0. With `biased` False the bias is 0. Without a penalty the minimum need not be unique; the
    one of least length is returned.
    """
    n_rated, n_factors = item_factors.shape
    # float64: the normal equations square the condition number of the features.
    wide_targets = targets.astype(np.float64)
    if n_rated == 0 or n_factors + biased == 0:
        return np.zeros(n_factors, np.float32), 0.0
    if precision is None and 2 * n_rated <= n_factors and biased and regularization > 0:
        return _fold_in_few(item_factors.astype(np.float64), wide_targets, regularization)
    features, gram = _equations(item_factors, regularization, biased=biased, precision=precision)
    # (F'F + penalty) x = F't by Cholesky. LAPACK wants column-major order: the transpose of a symmetric matrix is
    # itself and has that order in memory, so nothing is copied.
    _, solution, failed = lapack.dposv(gram.T, wide_targets @ features, lower=1, overwrite_a=1, overwrite_b=1)
    if failed:  # singular: possible only without a penalty
        solution = np.linalg.lstsq(features, wide_targets)[0]
    return solution[:n_factors].astype(np.float32), float(solution[n_factors]) if biased else 0.0


def influences(
    item_factors: NDArray[np.floating],
    targets: NDArray[np.floating],
    regularization: float,
    shown_factors: NDArray[np.floating],
    *,
    biased: bool = True,
    precision: Float64Array | None = None,
) -> Float64Array:
    """The contribution of every rating to p . q, for n items with factors q, `shown_factors` (n, k): (n, m) float64.

    The other parameters are those of `fold_in`, whose solution is linear in the targets: (p, b) = (F'F + penalty)^-1
    F't with F = (Q, 1). The rating of item j contributes q' [(F'F + penalty)^-1 f_j t_j]_p, and the sum over j is
    p . q exactly (Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", 2008,
    section 5).
    """
    n_rated, n_factors = item_factors.shape
    if n_rated == 0 or n_factors == 0 or len(shown_factors) == 0:
        return np.zeros((len(shown_factors), n_rated))
    features, gram = _equations(item_factors, regularization, biased=biased, precision=precision)
    # (q, 0): the bias is not part of p . q. One solve for all shown items instead of one per rating, by symmetry:
    # q' A^-1 f_j = (A^-1 q)' f_j.
    shown = np.zeros((n_factors + biased, len(shown_factors)), order="F")
    shown[:n_factors] = shown_factors.T
    _, solution, failed = lapack.dposv(gram.T, shown, lower=1, overwrite_a=1)
    towards = shown.T @ np.linalg.pinv(features) if failed else solution.T @ features.T
    contributions: Float64Array = towards * targets
    return contributions


def _equations(
    item_factors: NDArray[np.floating], regularization: float, *, biased: bool, precision: Float64Array | None
) -> tuple[Float64Array, Float64Array]:
    """F = (Q, 1), (m, k + 1) float64, or Q without a bias; and F'F + penalty."""
    n_rated, n_factors = item_factors.shape
    features = np.ones((n_rated, n_factors + biased))
    features[:, :n_factors] = item_factors
    gram = features.T @ features
    if precision is None:
        # Penalty 60 regularization on all columns, and m regularization more on the factors.
        diagonal = gram.ravel()[:: len(gram) + 1]
        diagonal += regularization * PRIOR_RATINGS
        diagonal[:n_factors] += regularization * n_rated
    else:
        gram += precision[0]
        gram += n_rated * precision[1]
    return features, gram


def _fold_in_few(
    item_factors: Float64Array, targets: Float64Array, regularization: float
) -> tuple[NDArray[np.float32], float]:
    """`fold_in` through the dual problem, m equations instead of k + 1: faster for users of few ratings.

    (Q Q' / penalty_p + 1 1' / penalty_b + I) a = targets;   p = Q' a / penalty_p;   bias = 1' a / penalty_b
    """
    n_rated = len(targets)
    # penalty_p = regularization (m + 60), penalty_b = 60 regularization
    on_factors, on_bias = regularization * (n_rated + PRIOR_RATINGS), regularization * PRIOR_RATINGS
    kernel = item_factors @ item_factors.T
    kernel /= on_factors
    kernel += 1 / on_bias
    kernel.ravel()[:: n_rated + 1] += 1.0
    _, dual, _ = lapack.dposv(kernel, targets, lower=1, overwrite_a=1)
    return (dual @ item_factors / on_factors).astype(np.float32), float(dual.sum() / on_bias)


def _penalties(n_factors: int, regularization: float, *, biased: bool) -> tuple[Float64Array, Float64Array]:
    """The penalties of factors and bias, (k + 1,) each: the part that all users have, and the part per rating."""
    # prior + m each_rating = regularization (60 + m) for factors and 60 regularization for the bias
    each_rating = np.full(n_factors + biased, regularization)
    each_rating[n_factors:] = 0.0
    return np.full(n_factors + biased, regularization * PRIOR_RATINGS), each_rating


def fold_in_all(
    ratings: RatingMatrix, vectors: RatingVectors, *, n_threads: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`fold_in` of every user: ((n_users, k), (n_users,)) float32, equal to 1e-4. Users without ratings are 0.

    `n_threads`: by default the number of cores; the result does not depend on it.
    """
    return fold_in_rows(ratings.by_user, vectors, ratings.storage, n_threads=n_threads)


def fold_in_rows(
    by_user: sparse.csr_array,
    vectors: RatingVectors,
    storage: Storage = IN_MEMORY,
    *,
    n_threads: int | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """As `fold_in_all`. `by_user`: (n_users, n_items), the ratings."""
    # numba takes a second to import, which a process that only serves must not pay; hence not at the top.
    from app.algorithms.ridge_kernel import Regressions, solve_users

    n_users, n_factors, biased = int(by_user.shape[0]), vectors.n_factors, vectors.biased
    basis = _Basis.plain(vectors) if vectors.precision is None else _Basis.diagonal(vectors, vectors.precision)
    regressions = Regressions(
        starts=by_user.indptr.astype(np.int64),  # always int64, so that numba compiles one kernel
        item_rows=by_user.indices,
        # The part of a rating that the user explains: t_ui = r_ui - mu - b_i
        targets=filled(
            by_user.nnz,
            np.float32,
            lambda span: by_user.data[span] - np.float32(vectors.mean) - vectors.item_biases[by_user.indices[span]],
            storage,
        ),
        features=np.ascontiguousarray(basis.features, np.float32),
        prior=basis.prior,
        each_rating=basis.each_rating,
    )
    solutions = np.zeros((n_users, n_factors + biased), np.float32)
    bounds = [*range(0, n_users, _USERS_PER_TASK), n_users]
    with thread_pool(n_threads or available_cores()) as pool:
        tasks = [pool.submit(solve_users, *users, regressions, solutions) for users in itertools.pairwise(bounds)]
        is_solved = all(task.result() for task in tasks)
    if not is_solved:  # singular: possible only without a penalty
        _fold_in_each(by_user.indptr, regressions.item_rows, regressions.targets, vectors, solutions)
    elif basis.directions is not None:
        # Back from the eigenbasis: x = V z
        solutions = (solutions @ basis.directions.T).astype(np.float32)
    biases = solutions[:, n_factors] if biased else np.zeros(n_users, np.float32)
    return np.ascontiguousarray(solutions[:, :n_factors]), np.ascontiguousarray(biases)


class _Basis(NamedTuple):
    """The basis in which all users are solved, chosen so that the penalty is diagonal, as `ridge_kernel` needs it.

    `features`: (n_items, k) or (n_items, k + 1) in this basis. `prior`, `each_rating`: penalties of the columns.
    `directions`: (k + 1, k + 1), V of x = V z, or None where the basis is the original one.
    """

    features: NDArray[np.floating]
    prior: Float64Array
    each_rating: Float64Array
    directions: Float64Array | None

    @classmethod
    def plain(cls, vectors: RatingVectors) -> Self:
        """The item factors as they are; the kernel adds the constant feature of the bias."""
        penalties = _penalties(vectors.n_factors, vectors.regularization, biased=vectors.biased)
        return cls(vectors.item_factors, *penalties, None)

    @classmethod
    def diagonal(cls, vectors: RatingVectors, precision: Float64Array) -> Self:
        """X = V z with V' precision[0] V = I and V' precision[1] V diagonal: then z has a diagonal penalty.

        V solves the generalised eigenproblem of the two matrices, once for all users.
        """
        each_rating, directions = eigh(precision[1], precision[0])
        ones = np.ones((len(vectors.item_factors), int(vectors.biased)))
        features = np.hstack([vectors.item_factors, ones]) @ directions
        return cls(features, np.ones(len(directions)), np.maximum(each_rating, 0.0), directions)


def _fold_in_each(
    starts: NDArray[np.integer],
    item_rows: NDArray[np.integer],
    targets: NDArray[np.float32],
    vectors: RatingVectors,
    solutions: NDArray[np.float32],
) -> None:
    """One LAPACK call per user, for the case that the kernel cannot solve: least squares of minimum length."""
    for user_row, (first, past) in enumerate(itertools.pairwise(starts)):
        features = vectors.item_factors[item_rows[first:past]]
        factors, bias = fold_in(
            features, targets[first:past], vectors.regularization, biased=vectors.biased, precision=vectors.precision
        )
        solutions[user_row] = [*factors, bias][: solutions.shape[1]]
