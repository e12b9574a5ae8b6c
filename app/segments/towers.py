"""The segment `towers`: one network embeds users and one embeds items; score v_u . v_i.

Both vectors have length 1. v_u comes from a user's features and ratings, v_i from an item's features and, in training,
its ratings. The networks are published as arrays and run by numpy, so serving needs no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.history_features import N_ITEM_COLUMNS, UserHistory
from app.algorithms.progress import ProgressCallback
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.two_tower_vectors import Tower, TowerVectors, join_features
from app.segments.base import NO_ITEM_ROWS, Float32Array, Layout, SegmentRecipe, SegmentStateError
from app.segments.dense import DenseFold, DenseSegment, LearnedDenseSegment, UserPart

N_LAYERS = 3
"""Of each network; the last one gives the segment's columns."""

NO_VALUES: Float32Array = np.empty(0, np.float32)


@dataclass(frozen=True)
class TowersFold(DenseFold):
    """Runs the two networks.

    `unknown_user`: (d,) float32, the part of a user without ratings and features, which is the mean of the users with
    ratings: no such user was in the training data of the network, so its output would be arbitrary.
    """

    user_tower: Tower
    item_tower: Tower
    history: UserHistory
    unknown_user: Float32Array

    reads_features = True

    @classmethod
    def from_vectors(cls, vectors: TowerVectors, unknown_user: Float32Array) -> "TowersFold":
        return cls(
            vectors.user_tower, vectors.item_tower, UserHistory.from_history_features(vectors.history), unknown_user
        )

    @property
    def numbers(self) -> dict[str, float]:
        history = self.history
        return {"mean": history.mean, "scale": history.scale, "user_count": history.user_count}

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        layers = _tower_arrays(self.user_tower, "user") | _tower_arrays(self.item_tower, "item")
        history = {"top_items": self.history.top_items, "categories": self.history.categories}
        return layers | history | {"unknown_user": self.unknown_user}

    def fold_in(
        self,
        columns: Float32Array,
        values: NDArray[np.floating],
        item_rows: NDArray[np.integer],
        features: sparse.csr_array | None,
    ) -> UserPart:
        """From the user's features and ratings, (m,) each; agrees with what training gave to 1e-4."""
        if features is None:
            raise ValueError("the towers read the features of users")
        return UserPart(self._embedded(features, item_rows, values))

    def described_part(self, features: sparse.csr_array) -> Float32Array:
        return self._embedded(features, NO_ITEM_ROWS, NO_VALUES)

    def item_parts(self, features: sparse.csr_array) -> Float32Array:
        return self.item_tower.embed(join_features(features, None, self.item_tower.n_features))

    def check(self, n_items: int, n_item_features: int, n_user_features: int) -> None:
        top_items = self.history.top_items
        if len(top_items) and not (top_items.min() >= 0 and top_items.max() < n_items):
            raise SegmentStateError("towers.top_items leaves the items")
        # A network of other widths would fail at the first request, or read wrong columns without failing.
        inputs = self.user_tower.n_features, self.item_tower.n_features
        if inputs != (n_user_features + self.history.n_columns, n_item_features + N_ITEM_COLUMNS):
            raise SegmentStateError("the towers do not fit the features")

    def _embedded(
        self, features: sparse.csr_array, item_rows: NDArray[np.integer], values: NDArray[np.floating]
    ) -> Float32Array:
        # The output for an empty input is arbitrary.
        if not features.nnz and not len(item_rows):
            return self.unknown_user
        # v_u = network([features | features of the history]), see `HistoryFeatures`
        known = np.concatenate([features.toarray()[0], self.history.features(item_rows, values)])
        embedded: Float32Array = self.user_tower.embed(known[None])[0]
        return embedded


def _layer_layouts(side: str) -> dict[str, Layout]:
    widths = [f"n_{side}_inputs", *(f"n_{side}_hidden_{n}" for n in range(1, N_LAYERS)), "n_towers_columns"]
    layouts: dict[str, Layout] = {}
    for layer, (width, next_width) in enumerate(pairwise(widths), start=1):
        layouts[f"{side}_weights_{layer}"] = (np.dtype(np.float32), (width, next_width))
        layouts[f"{side}_biases_{layer}"] = (np.dtype(np.float32), (next_width,))
    return layouts


class TowersSegment(DenseSegment):
    """Learned by `two_tower`, for recipes that name it: it needs torch, and features of users and items."""

    name = "towers"
    algorithms = ("two_tower",)
    starting_weight = 0.1
    layouts: ClassVar[Mapping[str, Layout]] = {
        **_layer_layouts("user"),
        **_layer_layouts("item"),
        "top_items": (np.dtype(np.int32), ("n_top_items",)),
        "categories": (np.dtype(np.float32), ("n_items", "n_categories")),
        "unknown_user": (np.dtype(np.float32), ("n_towers_columns",)),
    }

    def _fit(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> LearnedDenseSegment:
        """v_i and v_u. Rows without ratings are embedded from features, and rows without both are the mean."""
        from app.algorithms.hyperparameters import build
        from app.algorithms.two_tower import TwoTower

        vectors = build(TwoTower, recipe.hyperparameters).fit(ratings, rng, progress)
        features: Any = ratings.features  # the fit raises where there are none
        item_part, unknown_item = _with_mean(vectors.item_vectors, features.items, ratings.item_counts)
        user_part, unknown_user = _with_mean(vectors.user_vectors, features.users, ratings.user_counts)
        return LearnedDenseSegment(
            recipe=recipe,
            item_part=item_part,
            user_part=user_part,
            unrated_item=unknown_item,
            fold=TowersFold.from_vectors(vectors, unknown_user),
        )

    def _open(self, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> TowersFold:
        history = UserHistory(
            arrays["top_items"], arrays["categories"], numbers["mean"], numbers["scale"], numbers["user_count"]
        )
        towers = _open_tower(arrays, "user"), _open_tower(arrays, "item")
        return TowersFold(*towers, history, arrays["unknown_user"])

    def extend(self, learned: LearnedDenseSegment, ratings: RatingMatrix) -> LearnedDenseSegment:
        """`learned` itself: the networks have embedded every row from its features."""
        return learned


def _with_mean(
    vectors: Float32Array, features: sparse.csr_array, counts: NDArray[np.int64]
) -> tuple[Float32Array, Float32Array]:
    """`vectors`, those of rows without ratings and features replaced by the mean of the rated rows; and that mean."""
    # The mean of learned vectors has the same expected score as a vector drawn from them.
    mean = vectors[counts > 0].mean(axis=0)
    is_known = (counts > 0) | (np.diff(features.indptr) > 0)
    return np.where(is_known[:, None], vectors, mean), mean


def _tower_arrays(tower: Tower, side: str) -> dict[str, NDArray[Any]]:
    named: dict[str, NDArray[Any]] = {}
    for layer, (weights, biases) in enumerate(zip(tower.weights, tower.biases, strict=True), start=1):
        named |= {f"{side}_weights_{layer}": weights, f"{side}_biases_{layer}": biases}
    return named


def _open_tower(arrays: Mapping[str, NDArray[Any]], side: str) -> Tower:
    weights, biases = (
        tuple(arrays[f"{side}_{kind}_{layer}"] for layer in range(1, N_LAYERS + 1)) for kind in ("weights", "biases")
    )
    return Tower(weights, biases)
