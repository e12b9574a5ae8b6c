"""How fast and how well algorithms learn; scikit-surprise beside them in the same run, where it is installed."""

import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from app.algorithms.als_implicit import ImplicitALS
from app.algorithms.block_sgd import BlockGrid, BlockRatings, HeldOut, Pool, draw_weights
from app.algorithms.cores import thread_pool
from app.algorithms.fold_in import fold_in
from app.algorithms.funk_svd import FunkSVD
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.sgd_kernel import StepSizes, Weights
from app.algorithms.taste_vectors import Penalty, TasteFoldIn, TasteVectors, Weighting
from app.evaluation.metrics import rmse
from app.evaluation.splits import k_folds
from benchmarks.random_order import random_epoch
from benchmarks.table import Row

MOVIELENS = Path(__file__).parents[2] / "shared" / "data" / "ml-latest-small" / "ratings.csv"
SCALE = 0.5, 5.0
N_FOLDS = 5
MILLION = 1_000_000


def rows() -> list[Row]:
    return [*movielens_rows(), *kernel_rows(), *implicit_rows(), *fold_in_row(), fit_row()]


def movielens_rows() -> list[Row]:
    what = "funk_svd, ml-latest-small"
    if not MOVIELENS.exists():
        return [Row(what, "", "not measured", "needs ml-latest-small in ../shared/data")]
    folds = list(movielens_folds())
    FunkSVD().fit(folds[0][0], np.random.default_rng(0))  # compiles
    error, seconds = measure(folds, fit_of(FunkSVD()))
    quality = Row(
        f"{what}, defaults: RMSE", "<= 0.850 (Surprise 0.8665)", f"{error:.4f}", f"fit {seconds:.2f} s a fold"
    )
    same = FunkSVD(n_factors=100, n_epochs=20)
    error, seconds = measure(folds, fit_of(same))
    what = "k=100, 20 epochs against Surprise SVD"
    if importlib.util.find_spec("surprise") is None:
        note = "scikit-surprise is not installed: pip install -r benchmarks/requirements.txt"
        return [quality, Row(what, ">= 5 x, RMSE <= + 0.002", f"{seconds:.3f} s, RMSE {error:.4f}", note)]
    peer_error, peer_seconds = measure(folds, fit_of_surprise)
    return [
        quality,
        Row(
            f"{what}: fit", ">= 5 x faster", f"{peer_seconds / seconds:.1f} x", f"{seconds:.3f} s, {peer_seconds:.3f} s"
        ),
        Row(f"{what}: RMSE", f"<= {peer_error + 0.002:.4f}", f"{error:.4f}", f"Surprise {peer_error:.4f}"),
    ]


def movielens_folds() -> Iterator[tuple[RatingMatrix, RatingMatrix]]:
    table = np.genfromtxt(MOVIELENS, delimiter=",", skip_header=1, usecols=(0, 1, 2))
    users, items = (np.unique(table[:, column], return_inverse=True)[1] for column in (0, 1))
    ratings = RatingMatrix.from_arrays(users, items, table[:, 2])
    fold_of = k_folds(len(ratings), N_FOLDS, seed=0)
    for fold in range(N_FOLDS):
        yield ratings.subset(fold_of != fold), ratings.subset(fold_of == fold)


Predict = Callable[[NDArray[np.int32], NDArray[np.int32]], NDArray[np.floating]]


def measure(
    folds: list[tuple[RatingMatrix, RatingMatrix]], prepare: Callable[[RatingMatrix], Callable[[], Predict]]
) -> tuple[float, float]:
    """The mean RMSE, on predictions clipped to the scale, and the median seconds of a fit, its data prepared before."""
    errors, seconds = [], []
    for train, test in folds:
        fit = prepare(train)
        started = time.perf_counter()
        predict = fit()
        seconds.append(time.perf_counter() - started)
        errors.append(rmse(predict(test.user_rows, test.item_rows).clip(*SCALE), test.values))
    return statistics.mean(errors), statistics.median(seconds)


def fit_of(learner: FunkSVD) -> Callable[[RatingMatrix], Callable[[], Predict]]:
    return lambda train: lambda: learner.fit(train, np.random.default_rng(0)).predict


def fit_of_surprise(train: RatingMatrix) -> Callable[[], Predict]:
    import surprise  # noqa: PLC0415  a peer, installed by `make bench` alone

    rows = zip(train.user_rows.tolist(), train.item_rows.tolist(), train.values.tolist(), strict=True)
    dataset = surprise.Dataset(surprise.Reader(rating_scale=SCALE))
    trainset = dataset.construct_trainset([(user, item, value, None) for user, item, value in rows])

    def fit() -> Predict:
        learner: Any = surprise.SVD(n_factors=100, n_epochs=20, random_state=0).fit(trainset)
        return lambda users, items: np.array([learner.predict(*pair).est for pair in zip(users, items, strict=True)])

    return fit


def kernel_rows(n_ratings: int = 20 * MILLION, n_factors: int = 64, n_epochs: int = 12) -> list[Row]:
    """SGD alone, by blocks on one and two threads and in random order, from the same weights, by the same steps."""
    ratings = large_ratings(n_ratings)
    rng = np.random.default_rng(1)
    is_kept = rng.random(n_ratings) < 0.98
    grid = BlockGrid.draw(ratings, rng, biased=True)
    held_out = HeldOut.from_positions(ratings, np.flatnonzero(~is_kept), grid)
    blocks = BlockRatings(ratings, is_kept, grid)
    all_steps = [
        StepSizes(np.float32(rate), np.float32(rate), np.float32(0.05)) for rate in np.linspace(0.05, 0.001, n_epochs)
    ]

    def descend(n_threads: int) -> tuple[Weights, float]:
        weights = draw_weights(ratings.n_users, ratings.n_items, n_factors, np.random.default_rng(2))
        orders, seconds = np.random.default_rng(3), []
        with thread_pool(n_threads) as pool:
            for steps in all_steps:
                started = time.perf_counter()
                blocks.epoch(weights, steps, orders, Pool(pool, n_threads) if n_threads > 1 else None)
                seconds.append(time.perf_counter() - started)
        return weights, np.count_nonzero(is_kept) / statistics.median(seconds) / MILLION

    (one, speed_of_one), (two, speed_of_two) = descend(1), descend(2)
    is_same = all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    shuffled, speed_of_random = descend_randomly(ratings.subset(is_kept), grid, all_steps, blocks, n_factors)
    errors = [float(np.sqrt(held_out.error(weights))) * grid.standardisation.scale for weights in (one, shuffled)]
    what = f"SGD, {n_ratings // MILLION} M ratings, k={n_factors}"
    return [
        Row(f"{what}, one thread", ">= 50 M updates/s", f"{speed_of_one:.0f} M/s", "median epoch"),
        Row(f"{what}, two threads", ">= 1.8 x", f"{speed_of_two / speed_of_one:.2f} x", f"{speed_of_two:.0f} M/s"),
        Row(f"{what}, 1 and 2 threads", "the same bits", "the same" if is_same else "different", ""),
        Row(
            f"{what}, RMSE against random order",
            f"<= {errors[1] + 0.001:.4f}",
            f"{errors[0]:.4f}",
            f"random {errors[1]:.4f} at {speed_of_random:.0f} M/s, {n_epochs} epochs",
        ),
    ]


def descend_randomly(
    ratings: RatingMatrix, grid: BlockGrid, all_steps: list[StepSizes], blocks: BlockRatings, n_factors: int
) -> tuple[Weights, float]:
    weights = draw_weights(ratings.n_users, ratings.n_items, n_factors, np.random.default_rng(2))
    users, items = ratings.user_rows, grid.item_places[ratings.item_rows]
    targets, rng, seconds = grid.standardisation.targets(ratings.values), np.random.default_rng(3), []
    for steps in all_steps:
        order = rng.permutation(len(ratings))
        started = time.perf_counter()
        random_epoch(order, users, items, targets, blocks.layout.user_priors, blocks.layout.item_priors, weights, steps)
        seconds.append(time.perf_counter() - started)
    return weights, len(ratings) / statistics.median(seconds) / MILLION


def fold_in_row(n_factors: int = 64, n_rated: int = 100) -> list[Row]:
    rng = np.random.default_rng(0)
    factors = rng.normal(0, 0.15, (n_rated, n_factors)).astype(np.float32)
    targets, values = rng.normal(0, 1, n_rated).astype(np.float32), rng.integers(1, 6, n_rated).astype(np.float32)
    gram = 0.3 * (factors.T.astype(np.float64) @ factors)
    taste = TasteFoldIn(gram, Weighting(3.5, 1.0, 1.0, 0.7, 1.0, 2.75), Penalty(0.01, 1.0, 3000.0))
    what = f"fold-in of one user, k={n_factors}, {n_rated} ratings"
    note = "median of 2,000"
    return [
        Row(f"{what}: rating", "<= 0.2 ms", f"{milliseconds(lambda: fold_in(factors, targets, 0.05)):.3f} ms", note),
        Row(f"{what}: taste", "<= 0.2 ms", f"{milliseconds(lambda: taste.taste(factors, values)):.3f} ms", note),
    ]


def milliseconds(work: Callable[[], object], n_times: int = 2000) -> float:
    """The median of what it takes."""
    seconds = []
    for _ in range(n_times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1e3


def implicit_rows(n_ratings: int = 20 * MILLION, n_factors: int = 64, n_epochs: int = 4) -> list[Row]:
    """Implicit ALS beside that of the implicit library: the same observations, two threads, seconds an iteration.

    Both minimise the same loss up to the weight of unobserved pairs. The loss is ours, for the vectors of each.
    """
    what = f"implicit ALS, {n_ratings // MILLION} M observations, k={n_factors}"
    if importlib.util.find_spec("implicit") is None:
        return [Row(what, "", "not measured", "implicit is not installed: pip install -r benchmarks/requirements.txt")]
    from implicit.als import AlternatingLeastSquares  # noqa: PLC0415  a peer, installed by `make bench` alone

    ratings = large_ratings(n_ratings)
    observed = sparse.csr_matrix(
        (np.full(n_ratings, 10.0, np.float32), ratings.by_user.indices, ratings.by_user.indptr), ratings.by_user.shape
    )
    with threadpool_limits(1, "blas"):
        peer = AlternatingLeastSquares(
            factors=n_factors, regularization=10.0, alpha=1.0, iterations=n_epochs, num_threads=2, random_state=0
        )
        peer_seconds: list[float] = []
        peer.fit(observed, show_progress=False, callback=lambda _epoch, elapsed, _loss: peer_seconds.append(elapsed))
        # c = 10 where observed and 1 elsewhere: w = 9 beside 1 unobserved, target 10 / 9, so all vectors times 0.9^1/2.
        ours = ImplicitALS(n_factors, n_epochs - 1, 1.0, 1 / 9.0, frequency_exponent=0.0, rating_influence=0.0)
        moments: list[float] = [time.perf_counter()]
        learned = ours.fit(
            ratings, np.random.default_rng(0), lambda _done, _stage: moments.append(time.perf_counter()), n_threads=2
        )
    seconds = float(np.median(np.diff(moments)[1:-1]))
    theirs = TasteVectors(
        peer.user_factors * np.float32(0.9**0.5),
        peer.item_factors * np.float32(0.9**0.5),
        learned.gram,
        learned.weighting,
        learned.penalty,
    )
    losses = [implicit_loss(ratings, each, ours) for each in (learned, theirs)]
    to_loss = Row(
        f"{what}: to the same loss",
        f"<= {sum(peer_seconds):.1f} s (implicit, {n_epochs} iterations)",
        f"{(n_epochs - 1) * seconds:.1f} s ({n_epochs - 1} iterations)",
        f"loss an observation {losses[0]:.4f}, implicit {losses[1]:.4f}; preparing the data not counted",
    )
    each = Row(f"{what}: an iteration", f"{statistics.median(peer_seconds):.1f} s (implicit)", f"{seconds:.1f} s", "")
    return [to_loss, each]


def implicit_loss(ratings: RatingMatrix, taste: TasteVectors, learner: ImplicitALS) -> float:
    """What `ImplicitALS` minimises at frequency_exponent 0, over the number of observations."""
    users, items = taste.user_factors, taste.item_factors
    of_observed = 0.0
    for start in range(0, len(ratings), MILLION):
        some = slice(start, start + MILLION)
        scores = np.einsum("nk,nk->n", users[ratings.user_rows[some]], items[ratings.item_rows[some]])
        of_observed += float(np.square(1 - scores.astype(np.float64)).sum())
    squares = [side.T.astype(np.float64) @ side for side in (users, items)]
    unobserved_weight, regularization = learner.balanced(ratings)
    of_all = unobserved_weight * float((squares[0] * squares[1]).sum())
    penalty = regularization * sum(float(np.trace(square)) for square in squares)
    return (of_observed + of_all + penalty) / len(ratings)


@cache
def large_ratings(n_ratings: int = 20 * MILLION) -> RatingMatrix:
    return generated(n_ratings, n_users=200_000, n_items=20_000)


def fit_row(n_ratings: int = 20 * MILLION) -> Row:
    ratings = large_ratings(n_ratings)
    started = time.perf_counter()
    FunkSVD().fit(ratings, np.random.default_rng(0))
    seconds = time.perf_counter() - started
    note = "200,000 users, 20,000 items, Zipf; all cores, every user folded in"
    return Row(f"funk_svd, {n_ratings // MILLION} M ratings, defaults", "", f"{seconds:.0f} s", note)


def generated(n_ratings: int, n_users: int, n_items: int, rank: int = 8) -> RatingMatrix:
    """Ratings 0.5 to 5 of a rank-8 taste plus biases plus noise; users and items drawn by Zipf-like weights."""
    rng = np.random.default_rng(0)
    users = rng.permutation(n_users)[zipf(rng, n_users, 0.6, n_ratings)]
    items = rng.permutation(n_items)[zipf(rng, n_items, 0.9, n_ratings)]
    p, q = (rng.normal(0, 0.7 / rank**0.25, (n, rank)).astype(np.float32) for n in (n_users, n_items))
    values = (
        3.5 + rng.normal(0, 0.4, n_users)[users] + rng.normal(0, 0.5, n_items)[items] + rng.normal(0, 0.8, n_ratings)
    )
    for start in range(0, n_ratings, MILLION):
        some = slice(start, start + MILLION)
        values[some] += np.einsum("nk,nk->n", p[users[some]], q[items[some]])
    return RatingMatrix(n_users, n_items, users, items, (np.rint(values * 2) / 2).clip(*SCALE))


def zipf(rng: np.random.Generator, n: int, exponent: float, size: int) -> NDArray[np.int64]:
    shares = np.cumsum(np.arange(1, n + 1) ** -exponent)
    drawn: NDArray[np.int64] = np.searchsorted(shares, rng.random(size) * shares[-1])
    return drawn
