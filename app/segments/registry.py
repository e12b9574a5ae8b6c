"""The list of segments. A new one is a file of this package and a line here.

Their order is the order of their columns in the vectors, and the order in which a recipe lists them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from app.segments.base import Layout, Segment
from app.segments.dense import DenseSegment
from app.segments.engagement import EngagementSegment
from app.segments.item_item import ItemItemSegment
from app.segments.popularity import PopularitySegment
from app.segments.rating import RatingSegment
from app.segments.taste import TasteSegment
from app.segments.towers import TowersSegment
from app.segments.transitions import TransitionsSegment

SEGMENTS: dict[str, Segment[Any, Any]] = {
    segment.name: segment
    for segment in (
        RatingSegment(),
        TasteSegment(),
        TowersSegment(),
        EngagementSegment(),
        ItemItemSegment(),
        TransitionsSegment(),
        PopularitySegment(),
    )
}
"""Name -> segment."""


def dense_segment(name: str) -> DenseSegment:
    """The dense segment `name`. Raises `KeyError` where there is none."""
    segment = SEGMENTS[name]
    if not isinstance(segment, DenseSegment):
        raise KeyError(name)
    return segment


def segment_layouts() -> dict[str, Layout]:
    """The arrays of all segments, by the names that a snapshot gives them: `segment.array`."""
    return {
        f"{segment.name}.{name}": layout for segment in SEGMENTS.values() for name, layout in segment.layouts.items()
    }


def arrays_of(segment: Segment[Any, Any], arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Those of a snapshot's `arrays` that belong to `segment`, by its own names."""
    # Some arrays are optional, and only the segment can say whether a missing one is an error.
    named = {name: arrays.get(f"{segment.name}.{name}") for name in segment.layouts}
    return {name: array for name, array in named.items() if array is not None}


def in_order(names: Sequence[str]) -> list[str]:
    """Those of `names` that are segments, in the order of the registry."""
    # Columns must not depend on the order in which a caller listed the names.
    return [name for name in SEGMENTS if name in names]
