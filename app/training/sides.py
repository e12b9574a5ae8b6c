"""What was learned, weighted and joined: the two sides whose dot product is the score."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.snapshots.manifest import Segment
from app.snapshots.sides import item_moments, join_item_parts, join_user_parts
from app.training.fit import Learned

Weights = Mapping[str, float]
"""Segment name -> weight of its scores, standardised per user."""


@dataclass(frozen=True)
class Sides:
    """`item_vectors`: (n_items, d) float32, `user_vectors`: (n_users, d) float32; the rest as in `SnapshotArrays`."""

    segments: tuple[Segment, ...]
    item_vectors: NDArray[np.float32]
    unrated_item: NDArray[np.float32]
    user_vectors: NDArray[np.float32]
    item_mean: NDArray[np.float32]
    item_covariance: NDArray[np.float32]

    def score(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """The scores of all items for some users, (b, n_items)."""
        scores: NDArray[np.float32] = self.user_vectors[user_rows] @ self.item_vectors.T
        return scores


def join(learned: Learned, weights: Weights) -> Sides:
    item_vectors, columns = join_item_parts({part.recipe.name: part.item_part for part in learned.segments})
    item_mean, item_covariance = item_moments(item_vectors, learned.item_counts > 0)
    segments = tuple(
        Segment(
            name=part.recipe.name,
            algorithm=part.recipe.algorithm,
            columns=columns[part.recipe.name],
            weight=weights[part.recipe.name],
            hyperparameters=part.recipe.hyperparameters,
        )
        for part in learned.segments
    )
    user_parts = {part.recipe.name: part.user_part for part in learned.segments}
    return Sides(
        segments=segments,
        item_vectors=item_vectors,
        unrated_item=join_item_parts({part.recipe.name: part.unrated_item[None] for part in learned.segments})[0][0],
        user_vectors=join_user_parts(user_parts, segments, item_covariance),
        item_mean=item_mean,
        item_covariance=item_covariance,
    )
