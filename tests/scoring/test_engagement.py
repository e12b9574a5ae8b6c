"""The segment `engagement` as published: folded in from ratings and events, and carried by them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.algorithms.engagement_fold_in import EngagementFoldIn
from app.entities import UNKNOWN_TIME
from app.scoring import Observations, PublishedScorer, open_snapshot, write_snapshot
from app.scoring.features import Encodings
from app.scoring.sides import item_moments, join_item_parts
from app.snapshots.arrays import SnapshotArrays
from app.snapshots.errors import SnapshotDamagedError
from app.snapshots.manifest import SegmentEntry
from tests.support.snapshot_data import DATABASE_ID, GROUPS, manifest_of, segments, snapshot_arrays, table_entry

N_ITEMS = 60
FOLD = EngagementFoldIn(0.3, 0.05, 4.0)
OBSERVED = Observations(
    np.array([3, 8, 20, 41]),
    np.array([5.0, 2.0, 4.0, 1.0]),
    positive_rows=np.array([7, 30]),
    negative_rows=np.array([1, 2, 50]),
    rated_at=np.array([9, 7, 7, UNKNOWN_TIME]),
    positive_at=np.array([8, 3]),
)
NONE, ALL = np.empty(0, np.int64), np.arange(N_ITEMS)
WITHOUT_NEGATIVE = OBSERVED._replace(negative_rows=NONE)


def parts_of(arrays: SnapshotArrays) -> dict[str, NDArray[np.float32]]:
    """What a small snapshot has, and four columns of engagement."""
    drawn = np.random.default_rng(7).normal(size=(N_ITEMS, 4)).astype(np.float32)
    own = {segment.name: arrays.item_vectors[:, segment.slice] for segment in segments()}
    return {"rating": own["rating"], "taste": own["taste"], "engagement": drawn, "popularity": own["popularity"]}


def published(folder: Path, numbers: dict[str, float], left_out: str = "", *, is_led: bool = False) -> PublishedScorer:
    arrays = snapshot_arrays(N_ITEMS)
    parts = {name: part for name, part in parts_of(arrays).items() if name != left_out}
    item_vectors, columns = join_item_parts(parts)
    item_mean, item_covariance = item_moments(item_vectors, arrays.item_counts > 0)
    wide: dict[str, Any] = {"item_vectors": item_vectors, "item_mean": item_mean, "item_covariance": item_covariance}
    arrays = replace(arrays, **wide, user_vectors=np.zeros((12, item_vectors.shape[1]), np.float32))
    known = {segment.name: segment for segment in segments()}
    known["engagement"] = SegmentEntry("engagement", "logistic", (0, 0), 0.7, numbers=numbers)
    manifest = manifest_of(
        arrays,
        segments=(*(replace(known[name], columns=columns[name]) for name in parts), table_entry(N_ITEMS)),
        is_led_by_events=is_led,
    )
    return open_snapshot(write_snapshot(folder, manifest, arrays, Encodings(), GROUPS), DATABASE_ID, 1)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> PublishedScorer:
    return published(tmp_path_factory.mktemp("beside"), FOLD.numbers)


@pytest.fixture(scope="module")
def led(tmp_path_factory: pytest.TempPathFactory) -> PublishedScorer:
    return published(tmp_path_factory.mktemp("led"), FOLD.numbers, is_led=True)


@pytest.mark.parametrize("name", ["snapshot", "led"])
def test_folded_in_from_all_that_was_met(name: str, request: pytest.FixtureRequest) -> None:
    snapshot = request.getfixturevalue(name)
    columns = parts_of(snapshot_arrays(N_ITEMS))["engagement"]
    rows = np.concatenate([OBSERVED.item_rows, OBSERVED.positive_rows, OBSERVED.negative_rows])
    labels = np.array([1, 0, 1, 0, 1, 1, 0, 0, 0])
    part = FOLD.part(columns[rows], np.where(labels, np.inf, -np.inf))
    share = columns @ part
    expected = 0.7 * share / share[snapshot.arrays.item_counts > 0].std()
    shares = snapshot.shares(snapshot.fold_in(OBSERVED), ALL, snapshot.item_vectors)
    np.testing.assert_allclose(shares["engagement"], expected, atol=1e-4)


def test_declined_changes_this_segment_alone(snapshot: PublishedScorer) -> None:
    with_it, without = (snapshot.fold_in(observed) for observed in (OBSERVED, WITHOUT_NEGATIVE))
    engagement = snapshot.manifest.segment("engagement")
    assert engagement is not None
    changed = np.flatnonzero(with_it.vector != without.vector)
    assert len(changed)
    assert (changed >= engagement.slice.start).all()
    assert (changed < engagement.slice.stop).all()
    np.testing.assert_array_equal(with_it.tables["item_item"], without.tables["item_item"])


def test_shares_are_the_score(snapshot: PublishedScorer) -> None:
    side = snapshot.fold_in(OBSERVED)
    shares = snapshot.shares(side, ALL, snapshot.item_vectors)
    assert list(shares) == ["rating", "taste", "engagement", "popularity", "item_item"]
    np.testing.assert_allclose(sum(shares.values()), snapshot.scores(side, ALL, snapshot.item_vectors), atol=1e-5)


@pytest.mark.parametrize("name", ["snapshot", "led"])
def test_what_was_met_carries_score(name: str, request: pytest.FixtureRequest) -> None:
    """All but b_i and the prior; without anything declined nothing of it is missing."""
    snapshot = request.getfixturevalue(name)
    vectors, side = snapshot.item_vectors, snapshot.fold_in(WITHOUT_NEGATIVE)
    carried = snapshot.influences(WITHOUT_NEGATIVE, ALL, vectors)
    assert carried.shape == (N_ITEMS, 6)
    by_none = snapshot.shares(side, ALL, vectors)["popularity"].copy()
    for segment in (snapshot.rating.entry, snapshot.manifest.segment("engagement")):
        by_none += vectors[:, segment.slice.stop - 1] * side.vector[segment.slice.stop - 1]
    np.testing.assert_allclose(carried.sum(axis=1) + by_none, snapshot.scores(side, ALL, vectors), atol=1e-3)


def test_declined_is_not_named(snapshot: PublishedScorer) -> None:
    assert snapshot.influences(OBSERVED, ALL, snapshot.item_vectors).shape == (N_ITEMS, 6)
    assert snapshot.influences(OBSERVED, ALL[:0], snapshot.item_vectors[:0]).shape == (0, 6)


def test_engaged_speaks_for_itself(snapshot: PublishedScorer) -> None:
    positive = OBSERVED.positive_rows
    observed = Observations(NONE, np.empty(0), positive)
    carried = snapshot.influences(observed, positive, snapshot.item_vectors[positive])
    assert (np.diag(carried) > 0).all()


@pytest.mark.parametrize("left_out", ["taste", "engagement"])
def test_engagements_without_a_segment(tmp_path: Path, left_out: str) -> None:
    """One that was left out asks for nothing."""
    snapshot = published(tmp_path, FOLD.numbers, left_out)
    side = snapshot.fold_in(OBSERVED)
    assert left_out not in snapshot.shares(side, ALL, snapshot.item_vectors)
    carried = snapshot.influences(OBSERVED, ALL, snapshot.item_vectors)
    assert np.isfinite(carried).all()


@pytest.mark.parametrize("name", FOLD.numbers)
def test_number_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(SnapshotDamagedError, match=f"lacks .*{name}"):
        published(tmp_path, {other: number for other, number in FOLD.numbers.items() if other != name})
