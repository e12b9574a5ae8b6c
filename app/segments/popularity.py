"""The segment `popularity`: how many users chose an item, the same for every user.

    pop_i = (log(1 + n_i) - mean) / standard deviation      score  1 . pop_i

n_i: the number of users who rated the item or have positive events of it. Mean and deviation are those of chosen
items. Counts follow a power law, so their logarithm keeps a few bestsellers from deciding every list.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.progress import ProgressCallback
from app.algorithms.rating_matrix import RatingMatrix
from app.segments.base import DenseFold, Float32Array, LearnedSegment, Segment, SegmentRecipe, UserPart

POPULARITY = "popularity"

_ONE = UserPart(np.ones(1, np.float32))


class PopularityFold(DenseFold):
    """[1] for every user."""

    def fold_in(
        self,
        columns: Float32Array,
        values: NDArray[np.floating],
        item_rows: NDArray[np.integer],
        features: sparse.csr_array | None = None,
    ) -> UserPart:
        return _ONE


class PopularitySegment(Segment):
    """Learned by counting; it has no hyperparameters."""

    name = POPULARITY
    algorithms = (POPULARITY,)
    default_algorithm = POPULARITY
    is_required = True
    has_hyperparameters = False
    starting_weight = 1.0
    anchors_weights = True
    unknown_weight = 1.0

    def _fit(
        self,
        recipe: SegmentRecipe,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback,
    ) -> LearnedSegment:
        item_part, unrated_item = popularity_part(ratings.item_choice_counts)
        return LearnedSegment(
            recipe=recipe,
            item_part=item_part,
            user_part=np.ones((ratings.n_users, 1), np.float32),
            unrated_item=unrated_item,
            fold=PopularityFold(),
        )

    def _open(self, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> PopularityFold:
        return PopularityFold()

    def unknown_part(self, n_columns: int) -> Float32Array:
        return np.ones(n_columns, np.float32)

    def item_trust(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        # A power between n^0 and n^1, for the reason given in `TasteSegment.item_trust`: mapped with equal weights, a
        # new item would be as unpopular as the long tail.
        return counts.astype(np.float64) ** (1 / 3)


def popularity_part(counts: NDArray[np.integer]) -> tuple[Float32Array, Float32Array]:
    """The item part (n_items, 1) of items chosen by `counts` (n_items,) users, and that of an unchosen one, (1,)."""
    of_chosen = np.log1p(counts[counts > 0]) if counts.any() else np.zeros(1)
    # Standardised over chosen items only, so that importing a catalogue of unchosen ones changes no list. Where all
    # items are equally popular, the part is 0 everywhere.
    spread = of_chosen.std() or 1.0
    # pop_i = (log(1 + n_i) - mean) / standard deviation
    standardised = (np.log1p(np.append(counts, 0)) - of_chosen.mean()) / spread
    part = standardised.astype(np.float32)[:, None]
    return part[:-1], part[-1]
