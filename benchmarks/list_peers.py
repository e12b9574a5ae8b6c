"""The peers of the default lists: short implementations from the papers, and how each is tuned.

A peer is fitted once and then asked with any histories, so that a list can be made again after a history has grown:
`fit(train, rng).ranker(history)` maps user rows (b,) to scores (b, n_items). Every peer reads pairs of user and item,
and their order where it is known; values count in `iALS` alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from app.algorithms.als_implicit import ImplicitALS
from app.algorithms.rating_matrix import UNKNOWN_TIME, RatingMatrix
from app.algorithms.taste_vectors import TasteFoldIn, TasteVectors
from app.evaluation.ranking import Score
from benchmarks.algorithms import Implicit, ImplicitFit

LEAST_DECAYED = 0.02
"""Items of a history whose decayed weight is smaller are left out."""

PATIENCE = 2
"""Steps without a gain after which a walk over the values of a hyperparameter ends."""

CELLS_PER_BLOCK = 16_000_000

Float32Array = NDArray[np.float32]


class Fitted(Protocol):
    def ranker(self, history: RatingMatrix) -> Score: ...


class Peer(Protocol):
    def fit(self, train: RatingMatrix, rng: np.random.Generator) -> Fitted: ...


@dataclass(frozen=True)
class Family:
    """One kind of peer: where the search starts, and the values of each hyperparameter that it walks over, ascending.

    `is_item_item`: whether a fit takes the square or the cube of the number of items.
    """

    start: Any
    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    is_item_item: bool = False

    def tune(self, ndcg: Callable[[Peer], float]) -> Any:
        """The best settings that a walk from `start` meets, one hyperparameter after the other."""
        known: dict[Any, float] = {}

        def of(peer: Any) -> float:
            if peer not in known:
                known[peer] = ndcg(peer)
            return known[peer]

        best = self.start
        for name, values in self.grid.items():
            best = _walk(best, name, values, of)
        return best


def _walk(best: Any, name: str, values: tuple[float, ...], ndcg: Callable[[Any], float]) -> Any:
    """Up and down from the value that `best` has, until two steps in a row gain nothing: the curve is rough."""
    for step in (1, -1):
        place, n_lost = values.index(getattr(best, name)) + step, 0
        while 0 <= place < len(values) and n_lost < PATIENCE:
            other = replace(best, **{name: values[place]})
            best, n_lost = (other, 0) if ndcg(other) > ndcg(best) else (best, n_lost + 1)
            place += step
    return best


def pairs(ratings: RatingMatrix) -> sparse.csr_array:
    """(n_users, n_items) CSR float32 of ones, X."""
    observed = ratings.by_user
    return sparse.csr_array((np.ones(observed.nnz, np.float32), observed.indices, observed.indptr), observed.shape)


def is_ordered(ratings: RatingMatrix) -> bool:
    return bool((ratings.times != UNKNOWN_TIME).all())


def decayed(ratings: RatingMatrix, decay: float) -> sparse.csr_array:
    """(n_users, n_items) CSR float32, decay^age of each pair; the newest of a user has age 0. X where times miss."""
    if decay >= 1 or not is_ordered(ratings):
        return pairs(ratings)
    order = np.lexsort((np.arange(len(ratings)), ratings.times, ratings.user_rows))
    users, items = ratings.user_rows[order], ratings.item_rows[order]
    ages = np.cumsum(ratings.user_counts)[users] - 1 - np.arange(len(users))
    weights = np.power(np.float32(decay), ages, dtype=np.float32)
    kept = weights >= LEAST_DECAYED
    return sparse.csr_array((weights[kept], (users[kept], items[kept])), shape=(ratings.n_users, ratings.n_items))


def gram(rows: sparse.csr_array) -> Float32Array:
    """R'R, dense float32."""
    n = rows.shape[1]
    columns, dense = rows.T.tocsr(), np.empty((n, n), np.float32)
    size = max(1, CELLS_PER_BLOCK // max(1, n))
    for start in range(0, n, size):
        dense[start : start + size] = (columns[start : start + size] @ rows).toarray()
    return dense


def inverse(matrix: Float32Array) -> Float32Array:
    """The inverse of a positive definite matrix, which is overwritten."""
    factor, failed = lapack.spotrf(matrix.T, lower=1, overwrite_a=1)
    if failed:
        raise np.linalg.LinAlgError("the matrix is singular")
    lower, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    size = max(1, CELLS_PER_BLOCK // max(1, len(lower)))
    for start in range(0, len(lower), size):  # LAPACK leaves one triangle as it was
        block = slice(start, start + size)
        lower[block, start + size :] = lower[start + size :, block].T
        corner = np.tril(lower[block, block])
        lower[block, block] = corner + np.tril(corner, -1).T
    inverted: Float32Array = lower.T
    return inverted


@dataclass(frozen=True)
class ItemWeights:
    """Score = decayed history x B.

    `weights`: (n_items, n_items) float32, B.
    """

    weights: Float32Array
    decay: float

    def ranker(self, history: RatingMatrix) -> Score:
        histories = decayed(history, self.decay)
        return lambda user_rows: histories[user_rows] @ self.weights


@dataclass(frozen=True)
class FactoredWeights:
    """B = I - P diag(1 / diag P) with P = D^-1 - D^-1 X' K^-1 X D^-1 and K = I + X D^-1 X', for fewer users than items.

    `pairs`: X. `core`: (n_users, n_users) float32, K^-1. `penalty`: (n_items,) the diagonal of D. `diagonal`: of P.
    """

    pairs: sparse.csr_array
    core: Float32Array
    penalty: Float32Array
    diagonal: Float32Array
    decay: float

    def ranker(self, history: RatingMatrix) -> Score:
        histories = decayed(history, self.decay)

        def scores(user_rows: NDArray[np.int64]) -> Float32Array:
            asked = histories[user_rows]
            scaled = asked.multiply(1 / self.penalty).tocsr()
            smoothed = scaled.toarray() - (((scaled @ self.pairs.T) @ self.core) @ self.pairs) / self.penalty
            ranked: Float32Array = asked.toarray() - smoothed / self.diagonal
            return ranked

        return scores


@dataclass(frozen=True)
class EASE:
    """EASE (Steck 2019); with a `dropout` EDLAE ("Autoencoders that don't overfit towards the Identity", Steck 2020).

        B = I - P diag(1 / diag P)     P = (X'X + D)^-1     D = regularization I + dropout / (1 - dropout) diag(X'X)

    `decay`: of the histories that are asked with; X itself has no order.
    """

    regularization: float = 50.0
    dropout: float = 0.0
    decay: float = 1.0

    def fit(self, train: RatingMatrix, _rng: np.random.Generator) -> Fitted:
        observed = pairs(train)
        counts = train.item_counts.astype(np.float32)
        penalty = np.float32(self.regularization) + np.float32(self.dropout / (1 - self.dropout)) * counts
        if train.n_users < train.n_items:
            return self._of_users(observed, penalty)
        matrix = gram(observed)
        matrix.ravel()[:: len(matrix) + 1] += penalty
        inverted = inverse(matrix)
        inverted /= -np.diag(inverted).copy()
        np.fill_diagonal(inverted, 0.0)
        return ItemWeights(inverted, self.decay)

    def _of_users(self, observed: sparse.csr_array, penalty: Float32Array) -> FactoredWeights:
        core = gram(observed.multiply(1 / np.sqrt(penalty)).tocsr().T.tocsr())
        core.ravel()[:: len(core) + 1] += 1
        core = inverse(core)
        # P_ii = 1 / d_i - x_i' K^-1 x_i / d_i^2
        by_item = observed.T.tocsr()
        quadratic = np.asarray(by_item.multiply(by_item @ core).sum(axis=1)).ravel()
        diagonal = (1 / penalty - quadratic / penalty**2).astype(np.float32)
        return FactoredWeights(observed, core, penalty, diagonal, self.decay)


@dataclass(frozen=True)
class Transitions:
    """What follows what, in closed form: SLIT of Choi et al., "Session-aware Linear Item-Item Models" (WWW 2021).

    A row of S is a history so far, decayed step by step, and the row of T its next item:

        B = (S'S + regularization I)^-1 S'T
    """

    regularization: float = 20.0
    decay: float = 0.8

    def fit(self, train: RatingMatrix, _rng: np.random.Generator) -> ItemWeights:
        so_far, following = self._steps(train)
        matrix = gram(so_far)
        matrix.ravel()[:: len(matrix) + 1] += np.float32(self.regularization)
        return ItemWeights(inverse(matrix) @ (so_far.T @ following).tocsr(), self.decay)

    def _steps(self, train: RatingMatrix) -> tuple[sparse.csr_array, sparse.csr_array]:
        """S and T, (n, n_items) CSR float32."""
        order = np.lexsort((np.arange(len(train)), train.times, train.user_rows))
        users, items = train.user_rows[order], train.item_rows[order]
        places, befores, weights = [], [], []
        lag, weight = 1, 1.0
        while weight >= LEAST_DECAYED and lag < len(users):
            place = lag + np.flatnonzero(users[lag:] == users[:-lag])
            places.append(place)
            befores.append(items[place - lag])
            weights.append(np.full(len(place), weight, np.float32))
            lag, weight = lag + 1, weight * self.decay
        rows = np.concatenate(places)
        shape = (len(users), train.n_items)
        so_far = sparse.csr_array((np.concatenate(weights), (rows, np.concatenate(befores))), shape=shape)
        following = sparse.csr_array((np.ones(len(places[0]), np.float32), (places[0], items[places[0]])), shape=shape)
        return so_far, following


@dataclass(frozen=True)
class Halves:
    """The prototype: half EASE with decayed histories and half transitions, each divided by its spread for the user."""

    ease: "ItemWeights | FactoredWeights"
    transitions: ItemWeights

    def ranker(self, history: RatingMatrix) -> Score:
        ease = replace(self.ease, decay=self.transitions.decay)
        first, second = ease.ranker(history), self.transitions.ranker(history)
        return lambda user_rows: _standardised(first(user_rows)) + _standardised(second(user_rows))


def _standardised(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    spread = np.maximum(scores.std(axis=1, keepdims=True), 1e-12)
    standardised: NDArray[np.floating] = scores / spread
    return standardised


@dataclass(frozen=True)
class RP3beta:
    """Random walks of three steps (Paudel et al. 2017, "Updatable, Accurate, Diverse, and Scalable Recommendations").

    W = (P_iu^alpha P_ui^alpha) / popularity^beta, of which every row keeps its `n_neighbours` largest; score = X W.
    """

    alpha: float = 1.0
    beta: float = 0.6
    n_neighbours: float = 100

    def fit(self, train: RatingMatrix, _rng: np.random.Generator) -> "Walks":
        observed = pairs(train)
        of_users, of_items = (np.maximum(each, 1).astype(np.float32) for each in (train.user_counts, train.item_counts))
        to_items = observed.multiply((1 / of_users**self.alpha)[:, None]).tocsr()
        to_users = observed.T.multiply((1 / of_items**self.alpha)[:, None]).tocsr()
        n, k = train.n_items, int(self.n_neighbours)
        size = max(1, CELLS_PER_BLOCK // max(1, n))
        blocks = []
        for start in range(0, n, size):
            walked = (to_users[start : start + size] @ to_items).toarray() / of_items**self.beta
            walked[np.arange(len(walked)), start + np.arange(len(walked))] = 0.0
            if k < n:
                walked[walked < np.partition(walked, n - k, axis=1)[:, n - k, None]] = 0.0
            blocks.append(sparse.csr_array(walked))
        return Walks(sparse.vstack(blocks, format="csr"))


@dataclass(frozen=True)
class Walks:
    weights: sparse.csr_array

    def ranker(self, history: RatingMatrix) -> Score:
        observed = pairs(history)
        return lambda user_rows: (observed[user_rows] @ self.weights).toarray()


@dataclass(frozen=True)
class IALS:
    """Our implicit ALS (Hu et al. 2008, Rendle et al. 2021); users whose history has grown are folded in."""

    n_factors: float = 64
    regularization: float = 0.01
    unobserved_weight: float = 0.1
    frequency_exponent: float = 1.0
    rating_influence: float = 0.0

    def fit(self, train: RatingMatrix, rng: np.random.Generator) -> "Taste":
        learner = ImplicitALS(
            n_factors=int(self.n_factors),
            regularization=self.regularization,
            unobserved_weight=self.unobserved_weight,
            frequency_exponent=self.frequency_exponent,
            rating_influence=self.rating_influence,
        )
        return Taste(train, learner.fit(train, rng, n_threads=1))


@dataclass(frozen=True)
class Taste:
    train: RatingMatrix
    vectors: TasteVectors

    def ranker(self, history: RatingMatrix) -> Score:
        if history is self.train:
            return self.vectors.scores
        return lambda user_rows: self._folded(history.by_user, user_rows) @ self.vectors.item_factors.T

    def _folded(self, histories: sparse.csr_array, user_rows: NDArray[np.int64]) -> Float32Array:
        fold = TasteFoldIn(self.vectors.gram, self.vectors.weighting, self.vectors.penalty)
        own = [slice(histories.indptr[user], histories.indptr[user + 1]) for user in user_rows]
        return np.stack([fold.taste(self.items[histories.indices[each]], histories.data[each]) for each in own])

    @cached_property
    def items(self) -> NDArray[np.float64]:
        return self.vectors.item_factors.astype(np.float64)


@dataclass(frozen=True)
class ImplicitALSPeer:
    """That of the implicit library, which weighs an observed pair alpha and one not observed 1."""

    n_factors: float = 64
    regularization: float = 1.0
    alpha: float = 10.0

    def fit(self, train: RatingMatrix, rng: np.random.Generator) -> "ImplicitTaste":
        learner = Implicit(int(self.n_factors), self.regularization, self.alpha, n_threads=1)
        return ImplicitTaste(train, learner.fit(train, rng), self)


@dataclass(frozen=True)
class ImplicitTaste:
    train: RatingMatrix
    learned: ImplicitFit
    settings: ImplicitALSPeer

    def ranker(self, history: RatingMatrix) -> Score:
        if history is self.train:
            return self.learned.scores
        items = self.learned.item_factors.astype(np.float64)
        histories, base = history.by_user, items.T @ items + self.settings.regularization * np.eye(items.shape[1])

        # x = (Y'Y + (alpha - 1) Y_u'Y_u + regularization I)^-1 alpha sum y over the history
        def scores(user_rows: NDArray[np.int64]) -> NDArray[np.float64]:
            users = []
            for user in user_rows:
                own = items[histories.indices[histories.indptr[user] : histories.indptr[user + 1]]]
                system = base + (self.settings.alpha - 1) * (own.T @ own)
                users.append(np.linalg.solve(system, self.settings.alpha * own.sum(axis=0)))
            ranked: NDArray[np.float64] = np.stack(users) @ items.T
            return ranked

        return scores


@dataclass(frozen=True)
class Popular:
    """How often each item was chosen in the newest `share` of all the time that the ratings span."""

    share: float = 1.0

    def fit(self, train: RatingMatrix, _rng: np.random.Generator) -> "Counts":
        if self.share >= 1:
            return Counts(train.item_counts.astype(np.float32))
        first, last = int(train.times.min()), int(train.times.max())
        is_recent = train.times >= last - self.share * (last - first)
        # Older choices decide between items without recent ones.
        older = train.item_counts / (1.0 + len(train))
        return Counts((train.subset(is_recent).item_counts + older).astype(np.float32))


@dataclass(frozen=True)
class Counts:
    counts: Float32Array

    def ranker(self, history: RatingMatrix) -> Score:  # noqa: ARG002  of the protocol
        return lambda user_rows: np.broadcast_to(self.counts, (len(user_rows), len(self.counts)))


REGULARIZATION = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0)
DECAY = (0.6, 0.7, 0.8, 0.9)

BESTSELLERS, RECENT = "bestsellers", "recent"
EASE_NAME, EDLAE_NAME, TRANSITIONS, HALF = "EASE", "EDLAE", "transitions", "half EASE, half transitions"

FAMILIES: dict[str, Family] = {
    BESTSELLERS: Family(Popular()),
    RECENT: Family(Popular(0.25), {"share": (0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0)}),
    "RP3beta": Family(
        RP3beta(),
        {
            "beta": (0.0, 0.2, 0.4, 0.6, 0.8),
            "alpha": (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.5),
            "n_neighbours": (20, 50, 100, 200, 500, 1000),
        },
        is_item_item=True,
    ),
    "iALS": Family(
        IALS(),
        {
            "unobserved_weight": (0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
            "regularization": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1),
            "n_factors": (32, 64, 128),
            "rating_influence": (0.0, 1.0),
        },
    ),
    "iALS of implicit": Family(
        ImplicitALSPeer(),
        {
            "regularization": (0.1, 1.0, 3.0, 10.0, 30.0),
            "alpha": (2.0, 5.0, 10.0, 20.0, 50.0),
            "n_factors": (32, 64, 128),
        },
    ),
    EASE_NAME: Family(EASE(), {"regularization": REGULARIZATION}, is_item_item=True),
    EDLAE_NAME: Family(
        EASE(dropout=0.2), {"dropout": (0.0, 0.1, 0.2, 0.3, 0.5), "regularization": REGULARIZATION}, is_item_item=True
    ),
    TRANSITIONS: Family(Transitions(), {"regularization": REGULARIZATION, "decay": DECAY}, is_item_item=True),
}
