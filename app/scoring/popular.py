"""What answers before anything is learned: a scorer in memory that knows popularity alone."""

import numpy as np
from numpy.typing import NDArray

from app.entities import RatingScale
from app.scoring.blocks import SegmentBlock
from app.scoring.features import Encodings
from app.scoring.groups import PopularInGroups
from app.scoring.index import PopularityIndex
from app.scoring.scorer import Scorer
from app.segments.popularity import POPULARITY
from app.snapshots.arrays import SnapshotArrays
from app.snapshots.manifest import SegmentEntry


def popularity_scorer(
    item_keys: NDArray[np.int64], choices: NDArray[np.integer], likes: NDArray[np.integer], scale: RatingScale
) -> Scorer:
    """A scorer of unpublished vectors with one segment, `popularity`, and the interface of any other scorer.

    `item_keys`: (n_items,) int64, by row; `choices`, `likes`: (n_items,), how many users chose each item, and how many
    of them liked it.

    The score of an item is log(1 + n_i), n_i its likes, for every user, whatever they rated; rows with equal likes
    stand in ascending order. Its version is None. No user is known, no rating is predicted (NaN), nothing is similar,
    and there are no groups and no tables.
    """
    # score_i = pop_i . 1, pop_i = log(1 + n_i); without likes it is 0, as the zeros of `unrated_item` say.
    item_vectors = np.log1p(likes).astype(np.float32)[:, None]
    popular_rows = np.argsort(-item_vectors[:, 0], kind="stable")
    # No users and no groups: their arrays of start positions still hold the leading 0. The covariance stays 0, so the
    # part of the user side is not standardised and the score is the logarithm itself.
    arrays = SnapshotArrays.with_zeros(
        {
            "n_items": len(item_keys),
            "n_item_starts": len(item_keys) + 1,
            "dimension": 1,
            "n_starts": 1,
            "n_group_starts": 1,
        },
        item_keys=item_keys,
        item_vectors=item_vectors,
        item_counts=choices.astype(np.int32),
        like_counts=likes.astype(np.int32),
        popular_rows=popular_rows.astype(np.int32),
    )
    entry = SegmentEntry(POPULARITY, POPULARITY, (0, 1), weight=1.0)
    return Scorer(
        arrays=arrays,
        blocks=(SegmentBlock.from_entry(entry, arrays),),
        index=PopularityIndex(popular_rows, item_vectors),
        encodings=Encodings(),
        groups=PopularInGroups.from_arrays((), arrays),
        tables={},
        scale=scale,
    )
