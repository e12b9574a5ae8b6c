"""What a two-tower network learned, and its forward pass. numpy alone: serving needs no torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.errors import FitDivergedError
from app.algorithms.history_features import HistoryFeatures

_PAIRS_PER_BLOCK = 65_536

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Tower:
    """Layers x -> max(0, x W + b), the last one without the max, and its output brought to length 1.

    `weights`: (width, next width) each, `biases`: (next width,) each; float32.
    """

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]

    @property
    def n_features(self) -> int:
        return len(self.weights[0])

    def embed(self, features: sparse.csr_array | Floats) -> Floats:
        """(n, f) features -> (n, d) float32, every row of length 1."""
        hidden: Floats = np.asarray(features @ self.weights[0], np.float32) + self.biases[0]
        for weights, biases in zip(self.weights[1:], self.biases[1:], strict=True):
            hidden = np.maximum(hidden, 0) @ weights + biases
        hidden /= np.maximum(np.linalg.norm(hidden, axis=1, keepdims=True), np.float32(1e-12))
        return hidden


@dataclass(frozen=True)
class TowerVectors:
    """r^_ui = centre + half_range v_u . v_i, both vectors of length 1, so predictions stay on the scale.

    `user_vectors`: (n_users, d), `item_vectors`: (n_items, d) float32, of those learned from. Every other user or item
    gets a vector from its features, of its history alone, or of both: `history` says what to take from ratings.
    """

    user_tower: Tower
    item_tower: Tower
    user_vectors: Floats
    item_vectors: Floats
    history: HistoryFeatures
    centre: float
    half_range: float

    def embed_users(self, features: sparse.csr_array, history: sparse.csr_array | None = None) -> Floats:
        """(n, g) features, and what `history.users` gives of their ratings (None: they have none) -> (n, d) float32."""
        return self.user_tower.embed(beside(features, history, self.user_tower.n_features))

    def embed_items(self, features: sparse.csr_array, history: sparse.csr_array | None = None) -> Floats:
        """(n, f) features, and what `history.items` gives of their ratings (None: they have none) -> (n, d) float32."""
        return self.item_tower.embed(beside(features, history, self.item_tower.n_features))

    def scores(self, user_rows: NDArray[np.integer]) -> Floats:
        """What ranks all items for some users: (b,) rows -> (b, n_items)."""
        scores: Floats = self.user_vectors[user_rows] @ self.item_vectors.T
        return scores

    def predict(self, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer]) -> Floats:
        """The predicted rating of each pair: (n,) rows -> (n,) float32."""
        predicted = np.empty(len(user_rows), np.float32)
        for start in range(0, len(user_rows), _PAIRS_PER_BLOCK):
            pairs = slice(start, start + _PAIRS_PER_BLOCK)
            users, items = self.user_vectors[user_rows[pairs]], self.item_vectors[item_rows[pairs]]
            predicted[pairs] = self.centre + self.half_range * np.einsum("nd,nd->n", users, items)
        return predicted

    def checked(self) -> "TowerVectors":
        """Itself; raises `FitDivergedError` where anything is not finite."""
        if not all(np.isfinite(vectors).all() for vectors in (self.user_vectors, self.item_vectors)):
            raise FitDivergedError("the fit left the finite numbers; try a smaller learning_rate")
        return self


def beside(features: sparse.csr_array, history: sparse.csr_array | None, width: int = 0) -> sparse.csr_array:
    """(n, f + h) float32: features, then history; where that is None, nothing up to `width`."""
    if history is None:
        n_rows, n_columns = features.shape
        empty = (np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(n_rows + 1, np.int32))
        history = sparse.csr_array(empty, shape=(n_rows, max(0, width - n_columns)))
    return sparse.csr_array(sparse.hstack([features, history], format="csr"), dtype=np.float32)
