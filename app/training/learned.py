"""What a recipe learned, segment by segment, before weights join it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_uncertainty import RatingUncertainty
from app.algorithms.rating_vectors import RatingVectors
from app.segments.base import LearnedSegment
from app.segments.rating import with_uncertainty


@dataclass(frozen=True)
class Learned:
    """`item_counts`: (n_items,) int32, how many users chose each item. `is_unknown`: (n_users,) bool, the users with
    neither choices nor features.
    """

    segments: tuple[LearnedSegment, ...]
    item_counts: NDArray[np.int32]
    is_unknown: NDArray[np.bool_]

    @classmethod
    def from_segments(cls, segments: tuple[LearnedSegment, ...], ratings: RatingMatrix) -> "Learned":
        """`ratings`: what the segments were learned from."""
        # Declined items alone say nothing of what a user likes.
        is_unknown = ratings.user_choice_counts == 0
        if ratings.features is not None:
            is_unknown &= np.diff(ratings.features.users.indptr) == 0
        return cls(segments, ratings.item_choice_counts.astype(np.int32), is_unknown)

    @property
    def rating(self) -> RatingVectors:
        """What predicted ratings come from; the user side is folded in."""
        (vectors,) = (segment.vectors for segment in self.segments if segment.vectors is not None)
        return vectors

    @property
    def uncertainty(self) -> RatingUncertainty:
        """How far off predicted ratings may be."""
        uncertainty = self.rating.uncertainty
        if uncertainty is None:
            raise ValueError("a rating segment has an uncertainty")
        return uncertainty

    def with_uncertainty(self, uncertainty: RatingUncertainty) -> "Learned":
        """The same with an uncertainty estimated on a hold-out, for a learner that gives none."""
        segments = tuple(
            segment if segment.vectors is None else with_uncertainty(segment, uncertainty) for segment in self.segments
        )
        return replace(self, segments=segments)

    @property
    def is_finite(self) -> bool:
        parts = [part for segment in self.segments for part in (segment.item_part, segment.user_part)]
        return all(bool(np.isfinite(part).all()) for part in (*parts, self.rating.user_biases))
