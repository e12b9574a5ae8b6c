"""The arrays of a snapshot, made of what was learned and what it was learned from."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from app.algorithms.neighbour_table import NeighbourTable
from app.scoring.groups import PopularInGroups
from app.scoring.neighbours import table_arrays
from app.scoring.similar import similar_items
from app.snapshots.arrays import SnapshotArrays
from app.training.dataset import Dataset, to_rows
from app.training.learned import Learned
from app.training.sides import Sides


def assemble(
    learned: Learned,
    sides: Sides,
    dataset: Dataset,
    popular: PopularInGroups,
    tables: Mapping[str, NeighbourTable],
) -> SnapshotArrays:
    """`popular`: what is popular in the groups of users; `tables`: by the name of their algorithm."""
    data, counts, labels = dataset.data, learned.item_counts, dataset.labels
    # Where events lead, the ratings are only a part of what was learned from, so they are read again.
    rated = to_rows(data)
    histories = newest_first(rated.user_rows, rated.item_rows, rated.times)
    of_labels = newest_first(labels.user_rows, labels.item_rows, labels.last_at)
    starts = np.arange(rated.n_users + 1)
    # Stored at publish, since every item page asks for them.
    similar_rows, similar_scores = similar_items(sides.likeness, counts)
    return SnapshotArrays(
        item_keys=data.item_keys,
        item_vectors=sides.item_vectors,
        item_counts=counts,
        item_deviations=learned.uncertainty.item_std,
        popular_rows=np.argsort(-counts, kind="stable").astype(np.int32),
        unrated_item=sides.unrated_item,
        item_mean=sides.item_mean,
        item_covariance=sides.item_covariance,
        user_keys=data.user_keys,
        user_vectors=sides.user_vectors,
        user_biases=learned.rating.user_biases,
        user_deviations=learned.uncertainty.user_std,
        user_versions=data.user_versions,
        user_profile_versions=data.user_profile_versions,
        history_starts=np.searchsorted(rated.user_rows[histories], starts),
        history_rows=rated.item_rows[histories],
        history_values=rated.values[histories],
        label_starts=np.searchsorted(labels.user_rows[of_labels], starts),
        label_rows=labels.item_rows[of_labels],
        are_positive=labels.are_positive[of_labels],
        similar_rows=similar_rows,
        similar_scores=similar_scores,
        **popular.arrays,
        item_map=sides.item_map,
        user_map=sides.user_map,
        item_offset=sides.item_offset,
        user_offset=sides.user_offset,
        extra={**sides.extra, **table_arrays(tables)},
    )


def newest_first(
    user_rows: NDArray[np.int32], item_rows: NDArray[np.int32], times: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(n,) positions: by user, each newest first, unknown times last, equal times by item."""
    # ~t descends where t ascends and never overflows.
    return np.lexsort((item_rows, ~times, user_rows))
