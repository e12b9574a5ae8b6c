"""The segment `towers`: two networks, published as arrays, embed users and items by what is known of them.

v_u . v_i, both of length 1: v_u from a user's features and ratings, v_i from an item's features and, while training,
its ratings. Nothing here needs torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.history_features import N_ITEM_COLUMNS, UserHistory
from app.algorithms.two_tower_vectors import Float32Array, Tower, TowerVectors, join_features
from app.snapshots.arrays import N_TOWER_LAYERS
from app.snapshots.errors import SnapshotDamagedError

TOWERS = "towers"

NO_ROWS = np.empty(0, np.int32)
NO_VALUES = np.empty(0, np.float32)


@dataclass(frozen=True)
class TowersFold:
    """`unknown_user`: (d,) float32, the part of somebody of whom nothing is known: the mean of those who rated.

    The networks never met such a user where all were described, and would say anything.
    """

    user_tower: Tower
    item_tower: Tower
    history: UserHistory
    unknown_user: Float32Array

    @classmethod
    def of(cls, vectors: TowerVectors, unknown_user: Float32Array) -> "TowersFold":
        return cls(
            vectors.user_tower, vectors.item_tower, UserHistory.from_history_features(vectors.history), unknown_user
        )

    @classmethod
    def read(cls, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> "TowersFold":
        """From what `numbers` and `arrays` gave a segment. Raises `KeyError` where anything is missing."""
        own = {name.removeprefix(f"{TOWERS}."): array for name, array in arrays.items()}
        history = UserHistory(
            own["top_items"], own["categories"], numbers["mean"], numbers["scale"], numbers["user_count"]
        )
        return cls(_read_tower(own, "user"), _read_tower(own, "item"), history, own["unknown_user"])

    @property
    def numbers(self) -> dict[str, float]:
        history = self.history
        return {"mean": history.mean, "scale": history.scale, "user_count": history.user_count}

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        layers = _tower_arrays(self.user_tower, "user") | _tower_arrays(self.item_tower, "item")
        history = {"top_items": self.history.top_items, "categories": self.history.categories}
        return layers | history | {"unknown_user": self.unknown_user}

    def user_part(
        self,
        features: sparse.csr_array,
        item_rows: NDArray[np.integer] = NO_ROWS,
        values: NDArray[np.floating] = NO_VALUES,
    ) -> Float32Array:
        """(d,) of somebody with these (1, g) features who gave these ratings, (m,) each; as in training, to 1e-4."""
        if not features.nnz and not len(item_rows):
            return self.unknown_user
        known = np.concatenate([features.toarray()[0], self.history.features(item_rows, values)])
        part: Float32Array = self.user_tower.embed(known[None])[0]
        return part

    def item_parts(self, features: sparse.csr_array) -> Float32Array:
        """(n, d) of items without ratings, by (n, f) features."""
        return self.item_tower.embed(join_features(features, None, self.item_tower.n_features))

    def check(self, n_user_features: int, n_item_features: int) -> None:
        """Raises `SnapshotDamagedError` where the towers read other features than the snapshot has."""
        inputs = self.user_tower.n_features, self.item_tower.n_features
        if inputs != (n_user_features + self.history.n_columns, n_item_features + N_ITEM_COLUMNS):
            raise SnapshotDamagedError("the towers do not fit the features")


def _tower_arrays(tower: Tower, side: str) -> dict[str, NDArray[Any]]:
    named: dict[str, NDArray[Any]] = {}
    for layer, (weights, biases) in enumerate(zip(tower.weights, tower.biases, strict=True), start=1):
        named |= {f"{side}_weights_{layer}": weights, f"{side}_biases_{layer}": biases}
    return named


def _read_tower(arrays: Mapping[str, NDArray[Any]], side: str) -> Tower:
    weights, biases = (
        tuple(arrays[f"{side}_{kind}_{layer}"] for layer in range(1, N_TOWER_LAYERS + 1))
        for kind in ("weights", "biases")
    )
    return Tower(weights, biases)
