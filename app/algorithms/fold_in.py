"""One user's side from their ratings and the items' fixed vectors: a ridge regression. No numba.

This is the regression of the documents (content-based filtering with the item factors given), with the penalty of
training: it answers a rating within microseconds, and since every published user side is made by it, a user learned
yesterday and a user folded in now are the same arithmetic. (Zhou et al. 2008, ALS-WR; Koren, Bell & Volinsky 2009.)
"""

import itertools
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, lapack

from app.algorithms.cores import available_cores, thread_pool
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors

PRIOR_RATINGS = 60.0
"""The prior weighs as much as this many ratings: a row of m ratings is penalised by regularization (m + 60).

With the default regularization, 0.08, a bias has the penalty 4.8 in units of the noise: biases are taken to vary by a
fifth of it. 30 to 100 differ by less than 0.3 % of RMSE on all data sets tried (see `funk_svd.py`).
"""

_USERS_PER_TASK = 32

Floats = NDArray[np.float64]


def fold_in(
    item_factors: NDArray[np.floating],
    targets: NDArray[np.floating],
    regularization: float,
    *,
    biased: bool = True,
    precision: Floats | None = None,
) -> tuple[NDArray[np.float32], float]:
    """The factors and the bias of a user who rated m items, m >= 0.

    `item_factors`: (m, k), of the items rated. `targets`: (m,), their ratings minus mean and item bias, in the caller's
    scale. `regularization`: that of the vectors. Returns ((k,) float32, bias), which minimise

        sum (target - bias - p . q)^2 + regularization (m + 60) |p|^2 + 60 regularization bias^2

    or, where there is a `precision`, (2, k + 1, k + 1),

        sum (target - bias - p . q)^2 + (p, bias)' (precision[0] + m precision[1]) (p, bias)

    Without ratings: zeros. `biased` False leaves the bias at 0. A regularization of 0 takes the smallest of the best.
    """
    n_rated, n_factors = item_factors.shape
    wide_targets = targets.astype(np.float64)
    if n_rated == 0 or n_factors + biased == 0:
        return np.zeros(n_factors, np.float32), 0.0
    if precision is None and 2 * n_rated <= n_factors and biased and regularization > 0:
        return _fold_in_few(item_factors.astype(np.float64), wide_targets, regularization)
    features, gram = _equations(item_factors, regularization, biased=biased, precision=precision)
    # The transpose of what is symmetric is the same, and lies in memory as LAPACK wants it: no copy.
    _, solution, failed = lapack.dposv(gram.T, wide_targets @ features, lower=1, overwrite_a=1, overwrite_b=1)
    if failed:  # without a penalty there may be no unique solution
        solution = np.linalg.lstsq(features, wide_targets)[0]
    return solution[:n_factors].astype(np.float32), float(solution[n_factors]) if biased else 0.0


def influences(
    item_factors: NDArray[np.floating],
    targets: NDArray[np.floating],
    regularization: float,
    shown_factors: NDArray[np.floating],
    *,
    biased: bool = True,
    precision: Floats | None = None,
) -> Floats:
    """How much of p . q every rating carries, for n items of factors q, `shown_factors` (n, k): (n, m) float64.

    The rest as of `fold_in`, whose p is linear in the targets, (p, bias) = (F'F + penalty)^-1 F' t with F = (Q, 1). So
    the rating of item j carries q' [(F'F + penalty)^-1 f_j t_j]_p; over j, that adds up to p . q.
    (Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", 2008, section 5.)
    """
    n_rated, n_factors = item_factors.shape
    if n_rated == 0 or n_factors == 0 or len(shown_factors) == 0:
        return np.zeros((len(shown_factors), n_rated))
    features, gram = _equations(item_factors, regularization, biased=biased, precision=precision)
    shown = np.zeros((n_factors + biased, len(shown_factors)), order="F")
    shown[:n_factors] = shown_factors.T
    _, solution, failed = lapack.dposv(gram.T, shown, lower=1, overwrite_a=1)
    towards = shown.T @ np.linalg.pinv(features) if failed else solution.T @ features.T
    carried: Floats = towards * targets
    return carried


def _equations(
    item_factors: NDArray[np.floating], regularization: float, *, biased: bool, precision: Floats | None
) -> tuple[Floats, Floats]:
    """F = (Q, 1), (m, k + 1), or Q where there is no bias; and F'F + penalty."""
    n_rated, n_factors = item_factors.shape
    features = np.ones((n_rated, n_factors + biased))
    features[:, :n_factors] = item_factors
    gram = features.T @ features
    if precision is None:
        diagonal = gram.ravel()[:: len(gram) + 1]
        diagonal += regularization * PRIOR_RATINGS
        diagonal[:n_factors] += regularization * n_rated
    else:
        gram += precision[0]
        gram += n_rated * precision[1]
    return features, gram


def _fold_in_few(item_factors: Floats, targets: Floats, regularization: float) -> tuple[NDArray[np.float32], float]:
    """The same through its dual, m equations instead of k + 1: faster for a user of few ratings.

    (Q Q' / penalty_p + 1 1' / penalty_b + I) a = targets;   p = Q' a / penalty_p;   bias = 1' a / penalty_b
    """
    n_rated = len(targets)
    on_factors, on_bias = regularization * (n_rated + PRIOR_RATINGS), regularization * PRIOR_RATINGS
    kernel = item_factors @ item_factors.T
    kernel /= on_factors
    kernel += 1 / on_bias
    kernel.ravel()[:: n_rated + 1] += 1.0
    _, dual, _ = lapack.dposv(kernel, targets, lower=1, overwrite_a=1)
    return (dual @ item_factors / on_factors).astype(np.float32), float(dual.sum() / on_bias)


def _penalties(n_factors: int, regularization: float, *, biased: bool) -> tuple[Floats, Floats]:
    """Of factors and bias: what everybody has, and what each rating adds."""
    each_rating = np.full(n_factors + biased, regularization)
    each_rating[n_factors:] = 0.0
    return np.full(n_factors + biased, regularization * PRIOR_RATINGS), each_rating


def fold_in_all(
    ratings: RatingMatrix, vectors: RatingVectors, *, n_threads: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`fold_in` of every user: ((n_users, k), (n_users,)) float32, the same to 1e-4. Users without ratings: zeros.

    `n_threads`: as many as there are cores, unless said; the bits do not depend on it.
    """
    # numba takes a second to import: not at the top, where a process that only serves would pay for it.
    from app.algorithms.ridge_kernel import Regressions, solve_users  # noqa: PLC0415  see above

    by_user, n_factors, biased = ratings.by_user, vectors.n_factors, vectors.biased
    basis = _Basis.plain(vectors) if vectors.precision is None else _Basis.diagonal(vectors, vectors.precision)
    regressions = Regressions(
        starts=by_user.indptr.astype(np.int64),  # of one type, whatever scipy chose: a kernel compiled, not two
        item_rows=by_user.indices,
        # What is left of r_ui before the user is known: r_ui - mu - b_i
        targets=by_user.data - np.float32(vectors.mean) - vectors.item_biases[by_user.indices],
        features=np.ascontiguousarray(basis.features, np.float32),
        prior=basis.prior,
        each_rating=basis.each_rating,
    )
    solutions = np.zeros((ratings.n_users, n_factors + biased), np.float32)
    bounds = [*range(0, ratings.n_users, _USERS_PER_TASK), ratings.n_users]
    with thread_pool(n_threads or available_cores()) as pool:
        tasks = [pool.submit(solve_users, *users, regressions, solutions) for users in itertools.pairwise(bounds)]
        is_solved = all(task.result() for task in tasks)
    if not is_solved:  # without a penalty there may be no unique solution
        _fold_in_each(by_user.indptr, regressions.item_rows, regressions.targets, vectors, solutions)
    elif basis.directions is not None:
        solutions = (solutions @ basis.directions.T).astype(np.float32)
    biases = solutions[:, n_factors] if biased else np.zeros(ratings.n_users, np.float32)
    return np.ascontiguousarray(solutions[:, :n_factors]), np.ascontiguousarray(biases)


class _Basis(NamedTuple):
    """What the users are solved in: the items' `features`, penalties of each column, and what leads back."""

    features: NDArray[np.floating]
    prior: Floats
    each_rating: Floats
    directions: Floats | None

    @classmethod
    def plain(cls, vectors: RatingVectors) -> Self:
        """The factors themselves; the bias meets ones."""
        penalties = _penalties(vectors.n_factors, vectors.regularization, biased=vectors.biased)
        return cls(vectors.item_factors, *penalties, None)

    @classmethod
    def diagonal(cls, vectors: RatingVectors, precision: Floats) -> Self:
        """Where x = V z, V' precision[0] V = I, V' precision[1] V diagonal, so are the penalties of z."""
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
    for user_row, (first, past) in enumerate(itertools.pairwise(starts)):
        features = vectors.item_factors[item_rows[first:past]]
        factors, bias = fold_in(
            features, targets[first:past], vectors.regularization, biased=vectors.biased, precision=vectors.precision
        )
        solutions[user_row] = [*factors, bias][: solutions.shape[1]]
