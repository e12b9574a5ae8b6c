"""What a recipe learned, segment by segment, before weights join it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.algorithms.feature_map import FeatureMap
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_uncertainty import RatingUncertainty
from app.algorithms.rating_vectors import RatingVectors
from app.snapshots.segments import RatingFold
from app.training.recipe import SegmentRecipe


@dataclass(frozen=True)
class LearnedSegment:
    """One segment, not yet weighted.

    `item_part`: (n_items, c) float32. `user_part`: (n_users, c) float32, folded in. `unrated_item`: (c,), the part of
    an item without ratings of which nothing is known. `item_map`, `user_map`: from features to parts, None where there
    are no features. `numbers`, `arrays`: what a snapshot keeps of its fold. `vectors`: what the rating segment is made
    from.
    """

    recipe: SegmentRecipe
    item_part: NDArray[np.float32]
    user_part: NDArray[np.float32]
    unrated_item: NDArray[np.float32]
    numbers: dict[str, float] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    vectors: RatingVectors | None = None
    item_map: FeatureMap | None = None
    user_map: FeatureMap | None = None


@dataclass(frozen=True)
class Learned:
    """`rating`: the rating segment's vectors, their user side folded in. `item_counts`: (n_items,) int32 choices.

    `is_unknown`: (n_users,) bool, those with neither choices nor features.
    """

    segments: tuple[LearnedSegment, ...]
    item_counts: NDArray[np.int32]
    is_unknown: NDArray[np.bool_]

    @classmethod
    def of(cls, segments: tuple[LearnedSegment, ...], ratings: RatingMatrix) -> "Learned":
        is_unknown = ratings.user_choice_counts == 0
        if ratings.features is not None:
            is_unknown &= np.diff(ratings.features.users.indptr) == 0
        return cls(segments, ratings.item_choice_counts.astype(np.int32), is_unknown)

    @property
    def rating(self) -> RatingVectors:
        (vectors,) = (segment.vectors for segment in self.segments if segment.vectors is not None)
        return vectors

    @property
    def spread(self) -> RatingUncertainty:
        """How far off predicted ratings may be."""
        spread = self.rating.uncertainty
        if spread is None:
            raise ValueError("a rating segment has a spread")
        return spread

    def off_by(self, spread: RatingUncertainty) -> "Learned":
        """The same, its learner having told no spread: `spread` was learned on a hold-out."""
        numbers = RatingFold.of(self.rating, spread).numbers
        segments = tuple(
            segment
            if segment.vectors is None
            else replace(segment, numbers=numbers, vectors=replace(segment.vectors, uncertainty=spread))
            for segment in self.segments
        )
        return replace(self, segments=segments)

    @property
    def is_finite(self) -> bool:
        parts = [part for segment in self.segments for part in (segment.item_part, segment.user_part)]
        return all(bool(np.isfinite(part).all()) for part in (*parts, self.rating.user_biases))
