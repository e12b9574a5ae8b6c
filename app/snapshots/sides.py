"""The item side and the user side, whose dot product is the score.

    item side  [ q_i     | b_i | prior_i ]
    user side  [ a_u p_u | a_u | c_u     ]     a_u = w_rating / std_i(p_u . q_i + b_i), c_u = w_prior / std_i(prior_i)

Each segment is a block of columns. Its user part is divided by the standard deviation its scores would have over the
rated items, then multiplied by the segment's weight, so weights compare segments whatever their units. Training weighs
every user at once and serving one user between two ratings, both with the functions below.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.snapshots.manifest import Segment
from app.snapshots.segments import PRIOR, RATING, prior_parts

COLUMN_BLOCK = 16
"""Sides are padded to a multiple: a quantised scan is 8 x slower at d = 129 than at 144 (FAISS 1.15)."""

LEAST_WEIGHT = 1e-4
"""What the rating and the prior have at least: the predicted rating stays readable from the user side, and there is a
list for those of whom nothing is known. It only breaks ties."""

SMALLEST_SPREAD = 1e-6
"""Below it a segment says the same of every item, and dividing by it would only scale rounding errors up."""


def join_item_parts(parts: Mapping[str, NDArray[np.float32]]) -> tuple[NDArray[np.float32], dict[str, tuple[int, int]]]:
    """The item side of `parts` (name -> (n_items, c) float32), side by side, and the columns of each.

    Padded with zero columns to a multiple of `COLUMN_BLOCK`.
    """
    columns: dict[str, tuple[int, int]] = {}
    stop = 0
    for name, part in parts.items():
        start, stop = stop, stop + part.shape[1]
        columns[name] = (start, stop)
    n_items = len(next(iter(parts.values())))
    vectors = np.zeros((n_items, -(-stop // COLUMN_BLOCK) * COLUMN_BLOCK), np.float32)
    for name, (start, stop) in columns.items():
        vectors[:, start:stop] = parts[name]
    return vectors, columns


def item_moments(
    vectors: NDArray[np.float32], is_counted: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean (d,) and covariance (d, d) of the rows of `vectors` (n, d) that count: the rated items. Zero for none."""
    counted = vectors[is_counted].astype(np.float64)
    n_counted = max(len(counted), 1)
    mean = counted.sum(axis=0) / n_counted
    counted -= mean
    return mean.astype(np.float32), (counted.T @ counted / n_counted).astype(np.float32)


def join_user_parts(
    parts: Mapping[str, NDArray[np.float32]], segments: Sequence[Segment], item_covariance: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The user side (b, d) of `parts` (segment name -> (b, c), unweighted), weighted and standardised."""
    n_users = len(next(iter(parts.values())))
    vectors = np.zeros((n_users, len(item_covariance)), np.float32)
    for segment in segments:
        part = parts[segment.name]
        vectors[:, segment.slice] = part * part_scales(part, segment, item_covariance)[:, None]
    return vectors


def covariance_blocks(
    segments: Sequence[Segment], item_covariance: NDArray[np.float32]
) -> tuple[NDArray[np.float32], ...]:
    """The covariance (c, c) of the columns of each segment."""
    return tuple(np.ascontiguousarray(item_covariance[segment.slice, segment.slice]) for segment in segments)


def join_one(
    parts: Mapping[str, NDArray[np.float32]],
    segments: Sequence[Segment],
    covariances: Sequence[NDArray[np.float32]],
    dimension: int,
) -> NDArray[np.float32]:
    """As `join_user_parts` of one user whose parts are (c,) each, in half the time: (d,).

    `covariances`: see `covariance_blocks`.
    """
    vector = np.zeros(dimension, np.float32)
    for segment, covariance in zip(segments, covariances, strict=True):
        part = parts[segment.name]
        spread = math.sqrt(max(float(part @ (covariance @ part)), 0.0))
        vector[segment.slice] = part * np.float32(segment.weight / (1.0 if spread < SMALLEST_SPREAD else spread))
    return vector


def part_scales(
    part: NDArray[np.float32], segment: Segment, item_covariance: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What the unweighted user parts (b, c) of one segment are multiplied by, (b,): a_u or c_u above."""
    covariance = item_covariance[segment.slice, segment.slice]
    # Var_i(x . y_i) = x' Cov(y) x
    spread = np.sqrt(np.maximum(((part @ covariance) * part).sum(axis=1), 0.0))
    spread[spread < SMALLEST_SPREAD] = 1.0
    scales: NDArray[np.float32] = segment.weight / spread
    return scales


def popular_side(segments: Sequence[Segment], item_covariance: NDArray[np.float32]) -> NDArray[np.float32]:
    """The user side (d,) of somebody of whom nothing is known: popularity alone ranks.

    The rating segment only breaks ties, and tells the rating to expect.
    """
    widths = {segment.name: segment.columns[1] - segment.columns[0] for segment in segments}
    parts = {name: np.zeros((1, width), np.float32) for name, width in widths.items()}
    parts[RATING][:, -1] = 1.0
    parts[PRIOR] = prior_parts(1)
    weights = {RATING: LEAST_WEIGHT, PRIOR: 1.0}
    weighted = [replace(segment, weight=weights.get(segment.name, 0.0)) for segment in segments]
    side: NDArray[np.float32] = join_user_parts(parts, weighted, item_covariance)[0]
    return side
