"""Vectors for items and users without ratings, from their features: a map learned from those who have ratings.

What a segment learned from events counts like what it learned from ratings: to the taste and the prior an item is new
until somebody chooses it, to the engagement until somebody meets it, to the rating until somebody rates it. A user who
chose anything is folded in, not mapped.

Each segment has its own map, so a new item gets a taste, a rating and a popularity of its own, and enters the same dot
product as all others. Those of whom nothing is known keep what the segment gives them.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.algorithms.feature_map import FeatureMap, crossed
from app.algorithms.rating_matrix import Features, RatingMatrix
from app.training.learned import Learned, LearnedSegment
from app.training.recipe import ENGAGEMENT, RATING, TASTE, TOWERS

TRUST = 10.0
"""A vector learned from n ratings counts n / (n + 10)."""


def extend_to_unrated(learned: Learned, ratings: RatingMatrix) -> Learned:
    """`learned` from `ratings`, the rows of which nothing else is known filled in from their features."""
    features = ratings.features
    if features is None:
        return learned
    segments = tuple(
        _users(_items(segment, features, _item_counts(segment, ratings)), features, ratings)
        if segment.recipe.name != TOWERS  # which have embedded everybody themselves
        else segment
        for segment in learned.segments
    )
    return replace(learned, segments=segments)


def _item_counts(segment: LearnedSegment, ratings: RatingMatrix) -> NDArray[np.int64]:
    """(n_items,) what the segment learned each item from."""
    if segment.recipe.name == RATING:
        return ratings.item_counts
    return ratings.item_observed_counts if segment.recipe.name == ENGAGEMENT else ratings.item_choice_counts


def _items(segment: LearnedSegment, features: Features, counts: NDArray[np.int64]) -> LearnedSegment:
    if not features.items.shape[1]:
        return segment
    described = crossed(features.items)
    learned = FeatureMap.fit(described, segment.item_part, _trust(segment.recipe.name, counts))
    is_cold = (counts == 0) & (np.diff(features.items.indptr) > 0)
    item_part = segment.item_part.copy()
    item_part[is_cold] = learned.predict(described[is_cold])
    return replace(segment, item_part=item_part, item_map=learned)


def _trust(segment_name: str, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n_items,) how much each item's vector says of a new one's, by what it was learned from."""
    if segment_name in {RATING, ENGAGEMENT}:
        return counts / (counts + TRUST)
    # Between an item drawn from the catalogue, n^0, and one drawn from what people choose, n^1: what is new is not
    # known to belong to the long tail that nobody chooses, and as a part of it would never reach a list. The higher the
    # powers, the more new items are shown; these show enough that wholly new ones are found, at little loss.
    return counts.astype(np.float64) ** (2 / 3 if segment_name == TASTE else 1 / 3)


def _users(segment: LearnedSegment, features: Features, ratings: RatingMatrix) -> LearnedSegment:
    if not features.users.shape[1]:
        return segment
    described = crossed(features.users)
    counts = _user_counts(segment, ratings)
    learned = FeatureMap.fit(described, segment.user_part, counts / (counts + TRUST))
    is_cold = (ratings.user_choice_counts == 0) & (np.diff(features.users.indptr) > 0)
    user_part = segment.user_part.copy()
    user_part[is_cold] = learned.predict(described[is_cold])
    return replace(segment, user_part=user_part, user_map=learned)


def _user_counts(segment: LearnedSegment, ratings: RatingMatrix) -> NDArray[np.int64]:
    """(n_users,) what the segment learned each user from."""
    if segment.recipe.name == RATING:
        return ratings.user_counts
    return ratings.user_observed_counts if segment.recipe.name == ENGAGEMENT else ratings.user_choice_counts
