"""What was learned, weighted and joined: the two sides whose dot product is the score.

Every candidate of a run has sides, which are measured; the arrays of a snapshot are made of the published ones alone,
and stand with the publisher.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.algorithms.feature_map import FeatureMap
from app.scoring.sides import item_moments, join_item_parts, join_user_parts, table_scales, unknown_user_side
from app.segments.base import LearnedSegment
from app.segments.dense import LearnedDenseSegment, first_likeness
from app.segments.registry import dense_segment
from app.segments.sparse import LearnedSparseSegment
from app.snapshots.manifest import SegmentEntry
from app.training.fit import Learned

Weights = Mapping[str, float]
"""Segment name -> weight of its scores, standardised per user."""


@dataclass(frozen=True)
class Sides:
    """The two sides, and what folds new users and items in.

    `segments`: all of them, in the order of the registry.
    `item_vectors`: (n_items, d) float32, unweighted.
    `user_vectors`: (n_users, d) float32, weighted and standardised: user vector . item vector is the dense part of the
        score.
    `tables`: the sparse segments, whose user side is the history. `n_chosen`: the number of items that were chosen.
    `extra`: the arrays of the segments' states, by their names in a snapshot; all others are as in `SnapshotArrays`.
    """

    segments: tuple[SegmentEntry, ...]
    item_vectors: NDArray[np.float32]
    unrated_item: NDArray[np.float32]
    user_vectors: NDArray[np.float32]
    item_mean: NDArray[np.float32]
    item_covariance: NDArray[np.float32]
    item_map: NDArray[np.float32]
    user_map: NDArray[np.float32]
    item_offset: NDArray[np.float32]
    user_offset: NDArray[np.float32]
    tables: Mapping[str, LearnedSparseSegment]
    n_chosen: int
    extra: Mapping[str, NDArray[Any]]

    @property
    def dense(self) -> list[SegmentEntry]:
        return [entry for entry in self.segments if entry.columns is not None]

    @property
    def likeness(self) -> NDArray[np.float32]:
        """(n_items, c) float32, the columns whose directions are compared for similar items."""
        columns = first_likeness([(dense_segment(entry.name), entry.slice) for entry in self.dense])
        return np.ascontiguousarray(self.item_vectors[:, columns])

    def score(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """The scores of all items for some users, (b, n_items)."""
        # s_ui = user vector . item vector + the weighted scores of the tables
        scores: NDArray[np.float32] = self.user_vectors[user_rows] @ self.item_vectors.T
        for entry in self.segments:
            if entry.columns is None:
                scores += self.score_of(entry, user_rows)
        return scores

    def score_of(self, entry: SegmentEntry, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """The part of one segment in `score`, (b, n_items)."""
        if entry.columns is not None:
            of_block: NDArray[np.float32] = (
                self.user_vectors[user_rows][:, entry.slice] @ self.item_vectors[:, entry.slice].T
            )
            return of_block
        scores = self.tables[entry.name].scores(user_rows)
        scores *= table_scales(scores, self.n_chosen, entry.weight)[:, None]
        return scores


def join(learned: Learned, weights: Weights, *, fills_silence: bool = True) -> Sides:
    """Both sides of what was learned; segments of weight 0 are left out.

    `fills_silence`: as served. False while weights are learned, where each segment must have its own.
    """
    # Weights of 0 are decisions of the blend; their columns are not published.
    kept = [part for part in learned.segments if weights[part.recipe.name] > 0]
    dense = [part for part in kept if isinstance(part, LearnedDenseSegment)]
    tables = {part.recipe.name: part for part in kept if isinstance(part, LearnedSparseSegment)}
    item_vectors, columns = join_item_parts({part.recipe.name: part.item_part for part in dense})
    # Over chosen items only: the long tail of others would set the scale of every segment.
    is_chosen = learned.item_counts > 0
    item_mean, item_covariance = item_moments(item_vectors, is_chosen)
    segments = tuple(_entry(part, columns, weights) for part in kept)
    with_columns = [entry for entry in segments if entry.columns is not None]
    silent = sum((np.where(table.speaks, 0.0, weights[name]) for name, table in tables.items()), start=np.zeros(1))
    user_vectors = join_user_parts(
        {part.recipe.name: part.user_part for part in dense},
        with_columns,
        item_covariance,
        silent if fills_silence else None,
    )
    # A segment with an `unknown_weight` ranks for unknown users. Without one they keep what the segments gave them.
    if any(dense_segment(entry.name).unknown_weight > 0 for entry in with_columns):
        user_vectors[learned.is_unknown] = unknown_user_side(with_columns, item_covariance)
    return Sides(
        segments=segments,
        item_vectors=item_vectors,
        unrated_item=join_item_parts({part.recipe.name: part.unrated_item[None] for part in dense})[0][0],
        user_vectors=user_vectors,
        item_mean=item_mean,
        item_covariance=item_covariance,
        item_map=_join_maps({part.recipe.name: part.item_map for part in dense}, columns, item_vectors.shape[1]),
        user_map=_join_maps({part.recipe.name: part.user_map for part in dense}, columns, item_vectors.shape[1]),
        item_offset=join_item_parts({part.recipe.name: _offset(part, part.item_map) for part in dense})[0][0],
        user_offset=join_item_parts({part.recipe.name: _offset(part, part.user_map) for part in dense})[0][0],
        tables=tables,
        n_chosen=int(np.count_nonzero(is_chosen)),
        extra={f"{part.recipe.name}.{name}": array for part in kept for name, array in part.fold.arrays.items()},
    )


def _entry(part: LearnedSegment, columns: Mapping[str, tuple[int, int]], weights: Weights) -> SegmentEntry:
    return SegmentEntry(
        name=part.recipe.name,
        algorithm=part.recipe.algorithm,
        columns=columns.get(part.recipe.name),
        weight=weights[part.recipe.name],
        hyperparameters=part.recipe.hyperparameters,
        numbers=part.fold.numbers,
        n_entries=len(part.fold.entries) if isinstance(part, LearnedSparseSegment) else None,
    )


def _join_maps(
    maps: Mapping[str, FeatureMap | None], columns: Mapping[str, tuple[int, int]], dimension: int
) -> NDArray[np.float32]:
    """(f, dimension) float32; no rows where there are no features."""
    known = {name: each.weights for name, each in maps.items() if each is not None}
    # part = offset + features . weights, and each segment has its own columns; those that map no features have zeros.
    joined = np.zeros((max((len(weights) for weights in known.values()), default=0), dimension), np.float32)
    for name, weights in known.items():
        joined[:, slice(*columns[name])] = weights
    return joined


def _offset(part: LearnedDenseSegment, learned: FeatureMap | None) -> NDArray[np.float32]:
    """(1, c): what a map adds its weights to."""
    return np.zeros((1, part.item_part.shape[1]), np.float32) if learned is None else learned.offset[None]
