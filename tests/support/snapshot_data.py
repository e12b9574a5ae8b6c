"""Small snapshots with a known origin: a two-factor taste, made up and folded in by the code under test."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.column_cosines import ColumnCosines
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_uncertainty import UserUncertainty
from app.scoring import Observations, write_snapshot
from app.scoring.content import ContentEncoding
from app.scoring.features import Encodings
from app.scoring.item_similarity import ItemSimilarity
from app.scoring.sides import item_moments, join_item_parts, join_user_parts
from app.segments.rating import RatingFold
from app.segments.registry import segment_layouts
from app.snapshots.arrays import SnapshotArrays
from app.snapshots.manifest import UNMEASURED_BLEND, Manifest, SegmentEntry, Watermark
from app.snapshots.read import known_files

DATABASE_ID = "a-database"
ABSENT = ("towers.", "transitions.")
SMALL_FILES = sorted(name for name in known_files(segment_layouts()) if not name.startswith(ABSENT))
"""What a small snapshot has beside its manifest: one with a single table, and without towers."""

GROUPS = (("country", "FI"), ("country", "SE"))
N_TASTE = 3
DECAY = 0.5
EVERY_RATING = {"least_liked": 0.0}
"""A threshold by which every rating is a choice."""
NEWEST = 1_700_000_000_000_000
"""When the newest rating of every user was given, in microseconds; each older one was given a minute earlier."""
UNCERTAINTY = UserUncertainty(noise=0.6, noise_ratings=5.0, optimism=1.1, new_user=0.8, half_known=4.0)
RATING_FOLD = RatingFold(3.5, 0.1, biased=True, user_uncertainty=UNCERTAINTY, new_item=0.7)
TASTE_NUMBERS = {
    "mean": 3.0,
    "spread": 1.0,
    "influence": 1.0,
    "scale": 1.0,
    "positive_from": 1.0,
    "low_below": 2.0,
    "regularization": 0.1,
    "frequency_exponent": 1.0,
    "unobserved": 4.0,
}


def segments(n_factors: int = 2, rating_weight: float = 0.5) -> tuple[SegmentEntry, ...]:
    """The dense segments."""
    stop = n_factors + 1
    taste = stop + N_TASTE
    return (
        SegmentEntry("rating", "funk_svd", (0, stop), rating_weight, numbers=RATING_FOLD.numbers),
        SegmentEntry("taste", "als_implicit", (stop, taste), 1.0, numbers=TASTE_NUMBERS),
        SegmentEntry("popularity", "popularity", (taste, taste + 1), 1.0),
    )


def table_entry(n_items: int = 40, weight: float = 0.8) -> SegmentEntry:
    """The sparse segment: that of `small_table`."""
    numbers, n_entries = {"decay": DECAY} | EVERY_RATING, len(small_table(n_items)["item_item.entries"])
    return SegmentEntry("item_item", "ease", None, weight, numbers=numbers, n_entries=n_entries)


def with_table(n_factors: int = 2, n_items: int = 40) -> tuple[SegmentEntry, ...]:
    """All segments of a small snapshot, in the order of the registry."""
    *others, popularity = segments(n_factors)
    return (*others, table_entry(n_items), popularity)


def snapshot_arrays(n_items: int = 40, n_users: int = 12, n_factors: int = 2, seed: int = 0) -> SnapshotArrays:
    rng = np.random.default_rng(seed)
    history_rows = [rng.permutation(n_items)[: rng.integers(1, 6)] for _ in range(n_users)]
    rows = np.concatenate([*history_rows, np.empty(0, np.int64)]).astype(np.int32)
    minutes_ago = np.concatenate([np.empty(0, np.int64), *(np.arange(len(each)) for each in history_rows)])
    counts = np.bincount(rows, minlength=n_items).astype(np.int32)
    popularity = np.log1p(counts)[:, None].astype(np.float32)
    rating = rng.standard_normal((n_items, n_factors + 1)).astype(np.float32)
    rating[counts == 0] = 0
    taste = rng.standard_normal((n_items, N_TASTE)).astype(np.float32)
    taste[counts == 0] = 0
    item_vectors, _ = join_item_parts({"rating": rating, "taste": taste, "popularity": popularity})
    unrated_item = np.zeros(item_vectors.shape[1], np.float32)
    item_mean, item_covariance = item_moments(item_vectors, counts > 0)
    user_factors = rng.standard_normal((n_users, n_factors)).astype(np.float32)
    parts = {"rating": RATING_FOLD.user_parts(user_factors), "popularity": np.ones((n_users, 1), np.float32)}
    parts["taste"] = rng.standard_normal((n_users, N_TASTE)).astype(np.float32)
    users = np.repeat(np.arange(n_users), [len(each) for each in history_rows])
    ratings = RatingMatrix(n_users, n_items, users, rows, np.ones(len(rows)))
    together = ColumnCosines.from_ratings(ratings, 1, 5).strongest(UNMEASURED_BLEND.shrinkage, 10)
    no_content = sparse.csr_array(np.zeros((n_items, 0), np.float32))
    similarity = ItemSimilarity(taste, counts, together, no_content, ContentEncoding(), UNMEASURED_BLEND)
    similar_rows, similar_scores = similarity.stored()
    return SnapshotArrays(
        item_keys=np.arange(n_items, dtype=np.int64) * 3 + 7,
        item_vectors=item_vectors,
        item_counts=counts,
        like_counts=counts,
        item_uncertainties=rng.uniform(0.1, 0.7, n_items).astype(np.float32),
        popular_rows=np.argsort(-counts, kind="stable").astype(np.int32),
        unrated_item=unrated_item,
        item_mean=item_mean,
        item_covariance=item_covariance,
        user_keys=np.arange(n_users, dtype=np.int64) * 2 + 1,
        user_vectors=join_user_parts(parts, segments(n_factors), item_covariance),
        user_biases=rng.standard_normal(n_users).astype(np.float32),
        user_uncertainties=rng.uniform(0.6, 1.0, n_users).astype(np.float32),
        user_versions=np.ones(n_users, np.int64),
        user_profile_versions=np.full(n_users, 2, np.int64),
        history_starts=np.cumsum([0, *map(len, history_rows)]).astype(np.int64),
        history_rows=rows,
        history_values=rng.uniform(1, 5, len(rows)).astype(np.float32),
        history_times=NEWEST - 60_000_000 * minutes_ago,
        label_starts=np.zeros(n_users + 1, np.int64),
        label_rows=np.empty(0, np.int32),
        label_times=np.empty(0, np.int64),
        are_positive=np.empty(0, np.bool_),
        similar_rows=similar_rows,
        similar_scores=similar_scores,
        together_starts=together.indptr.astype(np.int64),
        together_rows=together.indices.astype(np.int32),
        together_values=together.data,
        content_starts=np.zeros(n_items + 1, np.int64),
        content_columns=np.empty(0, np.int32),
        content_values=np.empty(0, np.float32),
        group_starts=np.array([0, 2, 3]),
        group_rows=rows[:3].copy(),
        group_counts=np.array([2, 1, 1], np.int32),
        group_like_counts=np.array([2, 1, 1], np.int32),
        user_group_starts=np.minimum(np.arange(n_users + 1), 2),
        user_groups=np.arange(min(n_users, 2), dtype=np.int32),
        item_map=np.zeros((0, item_vectors.shape[1]), np.float32),
        user_map=np.zeros((0, item_vectors.shape[1]), np.float32),
        item_offset=np.zeros(item_vectors.shape[1], np.float32),
        user_offset=np.zeros(item_vectors.shape[1], np.float32),
        extra={
            "rating.precision": np.stack([2 * np.eye(n_factors + 1), 0.1 * np.eye(n_factors + 1)]),
            **small_table(n_items),
            "taste.gram": 0.1 * (taste.T.astype(np.float64) @ taste),
        },
    )


def small_table(n_items: int) -> dict[str, NDArray[Any]]:
    """The state of `item_item`: every item has entry 1 for the next one and 1/2 for the one after it, the last none."""
    columns = np.arange(n_items)[:, None] + np.array([1, 2])
    is_there = columns < n_items
    return {
        "item_item.starts": np.cumsum([0, *is_there.sum(axis=1)]),
        "item_item.columns": columns[is_there].astype(np.int32),
        "item_item.entries": np.tile(np.array([1.0, 0.5], np.float16), (n_items, 1))[is_there],
    }


def observed_of(arrays: SnapshotArrays, user_row: int) -> Observations:
    """All that a snapshot holds of what one of its users rated and did."""
    item_rows, values, rated_at = arrays.history(user_row)
    positive_rows, positive_at, negative_rows = arrays.labels(user_row)
    return Observations(item_rows, values, positive_rows, negative_rows, rated_at=rated_at, positive_at=positive_at)


def manifest_of(arrays: SnapshotArrays, version: int = 1, database_id: str = DATABASE_ID, **changes: Any) -> Manifest:
    n_factors = int(np.flatnonzero(np.diag(arrays.item_covariance)).max(initial=2 + N_TASTE)) - 1 - N_TASTE
    manifest = Manifest(
        version=version,
        database_id=database_id,
        created_at="2026-01-02T03:04:05+00:00",
        rating_scale="1:5",
        requested_recipe={},
        recipe={},
        seed=1,
        segments=with_table(n_factors, len(arrays.item_keys)),
        counts={
            "items": len(arrays.item_keys),
            "users": len(arrays.user_keys),
            "ratings": len(arrays.history_rows),
            "labels": len(arrays.label_rows),
        },
        metrics={"snapshot": {"rmse": 0.9, "ndcg@10": None}},
        intervals={"snapshot": {"rmse": (0.8, 1.0)}},
        watermark=Watermark(
            n_ratings=len(arrays.history_rows), change_count=9, newest_rated_at=None, catalogue_version=3
        ),
    )
    return replace(manifest, **changes)


def write_small_snapshot(root: Path, version: int = 1, seed: int = 0, **changes: Any) -> Path:
    arrays = snapshot_arrays(seed=seed)
    return write_snapshot(root, manifest_of(arrays, version, **changes), arrays, Encodings(), GROUPS)


def best_rows(scores: NDArray[np.floating], n: int) -> list[int]:
    """The readable ranking: by score, ties by row."""
    return sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:n]
