"""The item side and the user side, whose dot product is the score.

    item side  [ q_i     | b_i | y_i     | pop_i ]     unweighted
    user side  [ a_u p_u | a_u | c_u x_u | w_pop ]     a_u = w_rating / std_i(p_u . q_i + b_i)
                                                       c_u = w_taste / std_i(x_u . y_i)

Each segment is a block of columns. Its user part is divided by the standard deviation that its scores have over the
chosen items, then multiplied by the segment's weight, so weights compare segments whatever their units. The deviation
needs no scores: with x a user part and y_i the item parts,

    Var_i(x . y_i) = mean_i (x . (y_i - y))^2 = x' Cov(y) x     y = mean_i y_i

so the covariance of the item side, computed once, serves every user. Training weighs all users at once and serving one
user between two ratings, both with the functions below.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.segments.registry import SEGMENTS
from app.snapshots.manifest import SegmentEntry

COLUMN_BLOCK = 16
"""Vectors are padded to a multiple of it: a quantised scan is 8 x slower at d = 129 than at d = 144 (FAISS 1.15)."""

SMALLEST_SPREAD = 1e-6
"""Below it a segment scores every item alike, and dividing by it would only scale rounding errors up."""


def join_item_parts(parts: Mapping[str, NDArray[np.float32]]) -> tuple[NDArray[np.float32], dict[str, tuple[int, int]]]:
    """The item side of `parts` (name -> (n_items, c) float32), side by side, and the columns of each.

    Padded with zero columns to a multiple of `COLUMN_BLOCK`.
    """
    columns: dict[str, tuple[int, int]] = {}
    stop = 0
    for name, part in parts.items():
        start, stop = stop, stop + part.shape[1]
        columns[name] = (start, stop)
    # Padding columns are zero on both sides and add nothing to a product.
    n_items = len(next(iter(parts.values())))
    vectors = np.zeros((n_items, -(-stop // COLUMN_BLOCK) * COLUMN_BLOCK), np.float32)
    for name, (start, stop) in columns.items():
        vectors[:, start:stop] = parts[name]
    return vectors, columns


def item_moments(
    vectors: NDArray[np.float32], is_counted: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean (d,) and covariance (d, d) of those rows of `vectors` (n, d) that count; zeros where none do."""
    counted = vectors[is_counted].astype(np.float64)
    n_counted = max(len(counted), 1)
    mean = counted.sum(axis=0) / n_counted
    # Cov = mean_i (v_i - mean)(v_i - mean)'
    counted -= mean
    return mean.astype(np.float32), (counted.T @ counted / n_counted).astype(np.float32)


def join_user_parts(
    parts: Mapping[str, NDArray[np.float32]], segments: Sequence[SegmentEntry], item_covariance: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The user side (b, d) of `parts` (segment name -> (b, c), unweighted), weighted and standardised."""
    n_users = len(next(iter(parts.values())))
    vectors = np.zeros((n_users, len(item_covariance)), np.float32)
    for segment in segments:
        part = parts[segment.name]
        # weight / std_i(part . y_i) times the part
        vectors[:, segment.slice] = part * part_scales(part, segment, item_covariance)[:, None]
    return vectors


def weigh(part: NDArray[np.float32], covariance: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """One user's part (c,) of one segment, weighted and standardised: as `join_user_parts`, in half the time.

    `covariance`: (c, c), that of the segment's columns.
    """
    # Var_i(x . y_i) = x' Cov(y) x
    spread = math.sqrt(max(float(part @ (covariance @ part)), 0.0))
    return part * np.float32(weight / (1.0 if spread < SMALLEST_SPREAD else spread))


def part_scales(
    part: NDArray[np.float32], segment: SegmentEntry, item_covariance: NDArray[np.float32]
) -> NDArray[np.float32]:
    """What the unweighted user parts (b, c) of one segment are multiplied by, (b,): a_u or c_u above."""
    covariance = item_covariance[segment.slice, segment.slice]
    # Var_i(x . y_i) = x' Cov(y) x
    spread = np.sqrt(np.maximum(((part @ covariance) * part).sum(axis=1), 0.0))
    spread[spread < SMALLEST_SPREAD] = 1.0
    scales: NDArray[np.float32] = segment.weight / spread
    return scales


def unknown_user_side(segments: Sequence[SegmentEntry], item_covariance: NDArray[np.float32]) -> NDArray[np.float32]:
    """The user side (d,) of an unknown user: popularity alone ranks.

    Each segment defines its part and its weight there (`unknown_part`, `unknown_weight`); most have weight 0.
    """
    parts = {
        entry.name: SEGMENTS[entry.name].unknown_part(entry.columns[1] - entry.columns[0])[None] for entry in segments
    }
    # The published weights do not matter here: the list of an unknown user is by popularity.
    weighted = [replace(entry, weight=SEGMENTS[entry.name].unknown_weight) for entry in segments]
    side: NDArray[np.float32] = join_user_parts(parts, weighted, item_covariance)[0]
    return side
