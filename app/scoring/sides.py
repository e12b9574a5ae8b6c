"""The item side and the user side, whose dot product is the score.

    item side  [ q_i     | b_i | y_i     | pop_i ]     unweighted
    user side  [ a_u p_u | a_u | c_u x_u | w_pop ]     a_u = w_rating / std_i(p_u . q_i + b_i)
                                                       c_u = w_taste / std_i(x_u . y_i)

Each dense segment is a block of columns. Its user part is divided by the standard deviation that its scores have over
the chosen items, then multiplied by the segment's weight, so weights compare segments whatever their units. The
deviation needs no scores: with x a user part and y_i the item parts,

    Var_i(x . y_i) = mean_i (x . (y_i - y))^2 = x' Cov(y) x     y = mean_i y_i

so the covariance of the item side, computed once, serves every user. The scores of a sparse segment are divided by
their standard deviation over the same items, which its few non-zero scores give directly (`table_scales`). Training
weighs all users at once and serving one user between two ratings, both with the functions below.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.segments.popularity import POPULARITY
from app.segments.registry import dense_segment
from app.snapshots.manifest import SegmentEntry

COLUMN_BLOCK = 16
"""Vectors are padded to a multiple of it: a quantised scan is 8 x slower at d = 129 than at d = 144 (FAISS 1.15)."""

SMALLEST_SPREAD = 1e-6
"""Below it a segment scores every item alike, and dividing by it would only scale rounding errors up."""

NO_TABLES: Mapping[str, NDArray[np.float32]] = MappingProxyType({})


class UserSide(NamedTuple):
    """One user, as items are scored for the user.

    `vector`: (d,) float32, weighted; its dot product with an item's row is the dense part of the score.
    `bias`: b_u, in units of the rating scale; 0 where no ratings are predicted.
    `uncertainty`: the user's share of the standard deviation of a predicted rating, see `Scorer.uncertainties`.
    `tables`: the scores (n_items + 1,) float32 of the sparse segments by name, weighted; empty for a user without
        choices. The last one is that of an item newer than the snapshot, the mean over the chosen items: a table says
        nothing for or against it.
    """

    vector: NDArray[np.float32]
    bias: float
    uncertainty: float
    tables: Mapping[str, NDArray[np.float32]] = NO_TABLES

    def proposals(self, table: str, n: int, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The `n` rows with the highest scores above 0 by the sparse segment `table`, in any order; fewer where fewer
        are `allowed`, (n_items,).
        """
        scores = self.tables[table][:-1]
        rows = np.flatnonzero((scores > 0) & allowed)
        if len(rows) > n > 0:
            rows = rows[np.argpartition(-scores[rows], n - 1)[:n]]
        return rows[: max(n, 0)]


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
    parts: Mapping[str, NDArray[np.float32]],
    segments: Sequence[SegmentEntry],
    item_covariance: NDArray[np.float32],
    silent: NDArray[np.floating] | float | None = 0.0,
) -> NDArray[np.float32]:
    """The user side (b, d) of `parts` (segment name -> (b, c), unweighted), weighted and standardised.

    `silent`: (b,), the weight of the sparse segments that say nothing of each user. It goes to popularity, with the
    weight of dense segments whose part is 0: a user who liked nothing would otherwise be ranked for by what is left,
    little-known items first. None: every segment keeps its weight.
    """
    n_users = len(next(iter(parts.values())))
    vectors = np.zeros((n_users, len(item_covariance)), np.float32)
    left = np.zeros(n_users, np.float32)
    if silent is not None:
        left += np.asarray(silent, np.float32)
        for segment in segments:
            left[~parts[segment.name].any(axis=1)] += np.float32(segment.weight)
    for segment in segments:
        part = parts[segment.name]
        # weight / std_i(part . y_i) times the part
        scales = part_scales(part, segment, item_covariance)
        if segment.name == POPULARITY and segment.weight > 0:
            scales = scales * (1 + left / np.float32(segment.weight))
        vectors[:, segment.slice] = part * scales[:, None]
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


def table_scales(scores: NDArray[np.float32], n_chosen: int, weight: float) -> NDArray[np.float32]:
    """What the unweighted scores (..., n_items) of a sparse segment are multiplied by, (...,).

    `n_chosen`: how many items were chosen; all others have score 0 in every table.
    """
    n = max(n_chosen, 1)
    # Var_i(s) = mean_i s^2 - (mean_i s)^2 over the chosen items
    mean = scores.sum(axis=-1) / n
    spread = np.sqrt(np.maximum(np.einsum("...i,...i->...", scores, scores) / n - mean**2, 0.0))
    return (weight / np.where(spread < SMALLEST_SPREAD, 1.0, spread)).astype(np.float32)


def table_scale(scores: NDArray[np.float32], n_chosen: int, weight: float) -> tuple[float, float]:
    """As `table_scales` for one user, (n_items,), in half the time; and the mean score over the chosen items."""
    n = max(n_chosen, 1)
    # Var_i(s) = mean_i s^2 - (mean_i s)^2
    mean = float(scores.sum()) / n
    spread = math.sqrt(max(float(scores @ scores) / n - mean**2, 0.0))
    return weight / (1.0 if spread < SMALLEST_SPREAD else spread), mean


def unknown_user_side(segments: Sequence[SegmentEntry], item_covariance: NDArray[np.float32]) -> NDArray[np.float32]:
    """The user side (d,) of an unknown user: popularity alone ranks.

    `segments`: the dense ones. Each defines its part and its weight there (`unknown_part`, `unknown_weight`); most have
    weight 0. A sparse segment has nothing for a user without a history.
    """
    parts = {
        entry.name: dense_segment(entry.name).unknown_part(entry.slice.stop - entry.slice.start)[None]
        for entry in segments
    }
    # The published weights do not matter here: the list of an unknown user is by popularity.
    weighted = [replace(entry, weight=dense_segment(entry.name).unknown_weight) for entry in segments]
    side: NDArray[np.float32] = join_user_parts(parts, weighted, item_covariance)[0]
    return side
