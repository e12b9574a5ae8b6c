"""The segments of a snapshot at work: each with its entry of the manifest, its kind, and its state, opened."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.segments.base import AnyFold, AnyLearned, Segment, SegmentStateError
from app.segments.dense import DenseFold, DenseSegment
from app.segments.rating import RatingFold
from app.segments.registry import SEGMENTS, arrays_of
from app.segments.sparse import SparseFold, SparseSegment
from app.snapshots.arrays import SnapshotArrays
from app.snapshots.errors import SnapshotDamagedError
from app.snapshots.manifest import SegmentEntry


@dataclass(frozen=True)
class SegmentBlock:
    """A dense segment of a snapshot at work: its columns (c of them) and weight, its kind, and its state.

    `covariance`: (c, c) float32, that of its columns over the chosen items.
    """

    entry: SegmentEntry
    segment: DenseSegment
    fold: DenseFold
    slice: slice
    covariance: NDArray[np.float32]

    @classmethod
    def from_entry(cls, entry: SegmentEntry, arrays: SnapshotArrays) -> "SegmentBlock":
        """Raises `SnapshotDamagedError` for a segment that does not exist, or whose state is not complete."""
        segment = SEGMENTS.get(entry.name)
        if not isinstance(segment, DenseSegment):
            raise SnapshotDamagedError(f"there is no segment {entry.name} with columns")
        fold, columns = _opened(segment, entry, arrays), entry.slice
        # A copy, since a view of some columns slows the products of every fold-in down.
        covariance = np.ascontiguousarray(arrays.item_covariance[columns, columns])
        if isinstance(fold, RatingFold):
            return RatingBlock(entry, segment, fold, columns, covariance)
        return cls(entry, segment, fold, columns, covariance)


@dataclass(frozen=True)
class RatingBlock(SegmentBlock):
    """The segment that predicts ratings."""

    fold: RatingFold


@dataclass(frozen=True)
class TableBlock:
    """A sparse segment of a snapshot at work: its weight, its kind, and its state."""

    entry: SegmentEntry
    segment: SparseSegment
    fold: SparseFold

    @classmethod
    def from_entry(cls, entry: SegmentEntry, arrays: SnapshotArrays) -> "TableBlock":
        """Raises as `SegmentBlock.from_entry`."""
        segment = SEGMENTS.get(entry.name)
        if not isinstance(segment, SparseSegment):
            raise SnapshotDamagedError(f"there is no segment {entry.name} with a table")
        return cls(entry, segment, _opened(segment, entry, arrays))


def _opened(segment: Segment[AnyLearned, AnyFold], entry: SegmentEntry, arrays: SnapshotArrays) -> AnyFold:
    try:
        return segment.open(entry.numbers, arrays_of(segment, arrays.extra))
    except SegmentStateError as error:
        raise SnapshotDamagedError(str(error)) from error
