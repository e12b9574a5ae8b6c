"""Large catalogues and snapshots of random vectors, written and registered as a training run does."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy import sparse

from app.scoring import write_snapshot
from app.scoring.content import ContentEncoding
from app.scoring.features import Encodings
from app.scoring.item_similarity import ItemSimilarity
from app.scoring.sides import item_moments
from app.segments.sparse import SparseFold
from app.snapshots.arrays import SnapshotArrays
from app.snapshots.folders import SNAPSHOTS_FOLDER
from app.snapshots.manifest import UNMEASURED_BLEND, Manifest, SegmentEntry, Watermark, card
from app.store import Store
from benchmarks.serving_data import SCALE, record_items, record_users
from tests.support.snapshot_data import NEWEST, RATING_FOLD, TASTE_NUMBERS

N_FACTORS = 64
SEGMENTS = (
    SegmentEntry("rating", "funk_svd", (0, N_FACTORS + 1), 0.3, numbers=RATING_FOLD.numbers),
    SegmentEntry("taste", "als_implicit", (N_FACTORS + 1, 2 * N_FACTORS + 1), 1.0, numbers=TASTE_NUMBERS),
    SegmentEntry("popularity", "popularity", (2 * N_FACTORS + 1, 2 * N_FACTORS + 2), 0.3),
)
DIMENSION = 144  # 130 columns, padded to a multiple of 16
RATINGS_PER_USER = 100
ENTRIES_PER_ITEM = 20
"""Of the table of a sparse segment."""


def fill(store: Store, n_items: int, n_users: int) -> None:
    """Items i1, i2, ... and users u1, u2, ...; no ratings: those that the snapshot knows are nowhere else."""
    record_items(store, n_items)
    record_users(store, n_users)


def publish(store: Store, data_dir: Path, n_users: int = 0, *, with_table: bool = False) -> int:
    """A live snapshot of all items and users of the store, and of `n_users` in all, who need not be there.

    `with_table`: whether it has a sparse segment beside the dense ones. Returns the size of its arrays in bytes.
    """
    arrays = made_up_arrays(store, n_users)
    version = store.snapshots.next_version()
    manifest = _manifest(store, arrays, version)
    if with_table:
        fold = _made_up_table(len(arrays.item_keys))
        entry = SegmentEntry("item_item", "slim", None, 0.5, numbers=fold.numbers, n_entries=len(fold.entries))
        *others, popularity = manifest.segments
        manifest = replace(manifest, segments=(*others, entry, popularity))
        of_table = {f"item_item.{name}": array for name, array in fold.arrays.items()}
        arrays = replace(arrays, extra={**arrays.extra, **of_table})
    folder = write_snapshot(data_dir / SNAPSHOTS_FOLDER, manifest, arrays, Encodings())
    store.jobs.enqueue("benchmark")
    claim = store.jobs.claim("benchmark", lease_seconds=60)
    if claim is None:
        raise RuntimeError("another run is under way")
    store.snapshots.register(claim, version=version, path=str(folder.relative_to(data_dir)), card=card(manifest))
    return sum(array.nbytes for array in arrays.named.values())


def _made_up_table(n_items: int, seed: int = 0) -> SparseFold:
    """A random table with `ENTRIES_PER_ITEM` entries in each row."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, n_items, (n_items, ENTRIES_PER_ITEM), np.int32)
    columns.sort(axis=1)
    entries = rng.random(columns.size, np.float32).astype(np.float16)
    starts = np.arange(n_items + 1) * ENTRIES_PER_ITEM
    return SparseFold(starts, columns.ravel(), entries, decay=0.9, least_liked=SCALE.liked_from)


def made_up_arrays(store: Store, n_users: int, seed: int = 0) -> SnapshotArrays:
    rng = np.random.default_rng(seed)
    data = store.training_reads.load()
    n_items, n_known, n_users = len(data.item_keys), len(data.user_keys), max(n_users, len(data.user_keys))
    n_ratings = n_users * RATINGS_PER_USER
    sizes = {
        "n_items": n_items,
        "n_item_starts": n_items + 1,
        "n_users": n_users,
        "dimension": DIMENSION,
        "n_ratings": n_ratings,
        "n_starts": n_users + 1,
        "n_group_starts": 1,
    }
    vectors = _vectors(rng, n_items)
    rows = (rng.pareto(1.0, n_ratings) * 50).astype(np.int64) % n_items  # some items are rated far more than others
    counts = np.bincount(rows, minlength=n_items).astype(np.int32)
    mean, covariance = item_moments(vectors[:20_000], counts[:20_000] > 0)
    taste = vectors[:, SEGMENTS[1].slice]
    entries, no_rows = np.empty(0, np.float32), np.empty(0, np.int32)
    nothing = sparse.csr_array((entries, no_rows, np.zeros(n_items + 1, np.int64)), shape=(n_items, n_items))
    no_content = sparse.csr_array(np.zeros((n_items, 0), np.float32))
    similarity = ItemSimilarity(taste, counts, nothing, no_content, ContentEncoding(), UNMEASURED_BLEND)
    similar_rows, similar_scores = similarity.stored()
    sizes["n_similar_stored"] = len(similar_rows)
    more_keys = int(data.user_keys[-1]) + 1 + np.arange(n_users - n_known) if n_known else np.arange(1, n_users + 1)
    versions = np.zeros(n_users, np.int64)
    versions[:n_known] = data.user_versions
    profile_versions = np.zeros(n_users, np.int64)
    profile_versions[:n_known] = data.user_profile_versions
    return SnapshotArrays.with_zeros(
        sizes,
        item_keys=data.item_keys,
        item_vectors=vectors,
        item_counts=counts,
        popular_rows=np.argsort(-counts, kind="stable").astype(np.int32),
        item_mean=mean,
        item_covariance=covariance,
        user_keys=np.concatenate([data.user_keys, more_keys]),
        user_vectors=_vectors(rng, n_users),
        user_versions=versions,
        user_profile_versions=profile_versions,
        history_starts=np.arange(n_users + 1) * RATINGS_PER_USER,
        history_rows=rows.astype(np.int32),
        history_values=np.full(n_ratings, 4.0, np.float32),
        # From the newest on, a minute apart.
        history_times=NEWEST - 60_000_000 * np.tile(np.arange(RATINGS_PER_USER), n_users),
        similar_rows=similar_rows,
        similar_scores=similar_scores,
        extra={"taste.gram": np.eye(N_FACTORS)},
    )


def _vectors(rng: np.random.Generator, n: int) -> np.ndarray:
    vectors = rng.standard_normal((n, DIMENSION), np.float32)
    vectors[:, SEGMENTS[-1].slice.stop :] = 0
    vectors[:, SEGMENTS[0].slice.stop - 1] = 0.3  # of a user the weight of the rating, which is positive
    return vectors


def _manifest(store: Store, arrays: SnapshotArrays, version: int) -> Manifest:
    names = {"items": "item_keys", "users": "user_keys", "ratings": "history_rows", "labels": "label_rows"}
    counts = {name: len(getattr(arrays, array)) for name, array in names.items()}
    return Manifest(
        version=version,
        database_id=store.instance.database_id,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        rating_scale=str(SCALE),
        requested_recipe={},
        recipe={},
        seed=0,
        segments=SEGMENTS,
        counts=counts,
        metrics={},
        intervals={},
        watermark=Watermark(counts["ratings"], 0, None, 0),
    )
