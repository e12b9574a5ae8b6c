"""What answers before anything is learned: a scorer in memory that knows popularity alone."""

import numpy as np
from numpy.typing import NDArray

from app.entities import RatingScale
from app.scoring.features import Encodings
from app.scoring.groups import PopularInGroups
from app.scoring.index_build import exact_index
from app.scoring.scorer import Scorer, SegmentBlock
from app.scoring.sides import item_moments, join_item_parts
from app.segments.popularity import POPULARITY, popularity_part
from app.snapshots.arrays import SnapshotArrays
from app.snapshots.manifest import SegmentEntry


def popularity_scorer(item_keys: NDArray[np.int64], counts: NDArray[np.integer], scale: RatingScale) -> Scorer:
    """A scorer of unpublished vectors with one segment, `popularity`, and the interface of any other scorer.

    `item_keys`: (n_items,) int64, ascending; `counts`: (n_items,), how many users chose each item.

    Its version is None. Every user gets the same side, whatever they rated; no user is known, no rating is predicted
    (NaN), nothing is similar, and there are no groups and no tables.
    """
    # The same part as the published segment has, so lists do not jump with the first snapshot.
    part, unrated_item = popularity_part(counts)
    item_vectors, columns = join_item_parts({POPULARITY: part})
    mean, covariance = item_moments(item_vectors, counts > 0)
    # No users and no groups: their arrays of start positions still hold the leading 0.
    sizes = {
        "n_items": len(item_keys),
        "dimension": item_vectors.shape[1],
        "n_starts": 1,
        "n_group_starts": 1,
    }
    arrays = SnapshotArrays.with_zeros(
        sizes,
        item_keys=item_keys,
        item_vectors=item_vectors,
        item_counts=counts.astype(np.int32),
        popular_rows=np.argsort(-counts, kind="stable").astype(np.int32),
        unrated_item=join_item_parts({POPULARITY: unrated_item[None]})[0][0],
        item_mean=mean,
        item_covariance=covariance,
    )
    entry = SegmentEntry(POPULARITY, POPULARITY, columns[POPULARITY], weight=1.0)
    return Scorer(
        arrays=arrays,
        blocks=(SegmentBlock.from_entry(entry, arrays),),
        index=exact_index(item_vectors),
        encodings=Encodings(),
        groups=PopularInGroups.from_arrays((), arrays),
        tables={},
        scale=scale,
    )
