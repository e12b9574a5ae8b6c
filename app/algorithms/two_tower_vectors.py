"""The result of the two-tower learner and its forward pass, with numpy alone: serving needs no torch.

r^_ui = centre + half_range v_u . v_i,    v = tower(features) / |tower(features)|
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.errors import FitDivergedError
from app.algorithms.history_features import HistoryFeatures

# Gathered rows of both sides stay in the cache while their products are summed.
_PAIRS_PER_BLOCK = 65_536

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class Tower:
    """Layers x -> max(0, x W + b), the last without the max; the output is normalised to length 1.

    `weights`: (width, next width) per layer. `biases`: (next width,) per layer; all float32.
    """

    weights: tuple[Float32Array, ...]
    biases: tuple[Float32Array, ...]

    @property
    def n_features(self) -> int:
        """The width of the input."""
        return len(self.weights[0])

    def embed(self, features: sparse.csr_array | Float32Array) -> Float32Array:
        """(n, f) features -> (n, d) float32, every row of length 1."""
        # The first layer multiplies by the sparse input; every other layer is dense.
        hidden: Float32Array = np.asarray(features @ self.weights[0], np.float32) + self.biases[0]
        for weights, biases in zip(self.weights[1:], self.biases[1:], strict=True):
            hidden = np.maximum(hidden, 0) @ weights + biases
        # The bound avoids 0 / 0 for an output of exactly 0.
        hidden /= np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), np.float32(1e-12))
        return hidden


@dataclass(frozen=True)
class TowerVectors:
    """r^_ui = centre + half_range v_u . v_i; both vectors have length 1, so predictions stay within the scale.

    `user_tower`, `item_tower`: embed any user or item from its features and history features.
    `user_vectors`, `item_vectors`: (n_users, d), (n_items, d) float32, of the users and items of the fit.
    `history`: defines the history features. `centre`, `half_range`: map -1..1 to the range of the ratings.
    """

    user_tower: Tower
    item_tower: Tower
    user_vectors: Float32Array
    item_vectors: Float32Array
    history: HistoryFeatures
    centre: float
    half_range: float

    def scores(self, user_rows: NDArray[np.integer]) -> Float32Array:
        """Ranking scores of all items, v_u . v_i: (b,) user rows -> (b, n_items) float32."""
        scores: Float32Array = self.user_vectors[user_rows] @ self.item_vectors.T
        return scores

    def predict(self, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer]) -> Float32Array:
        """The predicted rating of each pair: (n,) rows each -> (n,) float32 within centre +- half_range."""
        predicted = np.empty(len(user_rows), np.float32)
        for start in range(0, len(user_rows), _PAIRS_PER_BLOCK):
            pairs = slice(start, start + _PAIRS_PER_BLOCK)
            # cosine in -1..1, mapped back to the rating scale
            users, items = self.user_vectors[user_rows[pairs]], self.item_vectors[item_rows[pairs]]
            predicted[pairs] = self.centre + self.half_range * np.einsum("nd,nd->n", users, items)
        return predicted

    def checked(self) -> "TowerVectors":
        """Return self; raises `FitDivergedError` where any vector is not finite."""
        if not all(np.isfinite(vectors).all() for vectors in (self.user_vectors, self.item_vectors)):
            raise FitDivergedError("the fit produced values that are not finite; try a smaller learning_rate")
        return self


def join_features(features: sparse.csr_array, history: sparse.csr_array | None, width: int = 0) -> sparse.csr_array:
    """(n, f + h) float32 CSR: features, then history features.

    `history` None stands for rows without ratings: the columns up to `width` are then empty.
    """
    if history is None:
        n_rows, n_columns = features.shape
        empty = (np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(n_rows + 1, np.int32))
        history = sparse.csr_array(empty, shape=(n_rows, max(0, width - n_columns)))
    return sparse.csr_array(sparse.hstack([features, history], format="csr"), dtype=np.float32)
