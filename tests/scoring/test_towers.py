"""The segment `towers` as published, without torch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.scoring import Observations, PublishedScorer, open_snapshot
from app.segments.towers import TowersSegment
from app.snapshots.errors import SnapshotDamagedError
from tests.support.made_up_towers import ITEMS, USERS, Published
from tests.support.snapshot_data import DATABASE_ID, observed_of, write_small_snapshot

ARRAYS = sorted(TowersSegment.layouts)


@pytest.fixture(scope="module")
def published() -> Published:
    return Published.make()


@pytest.fixture(scope="module")
def snapshot(published: Published, tmp_path_factory: pytest.TempPathFactory) -> PublishedScorer:
    return published.open(tmp_path_factory.mktemp("towers"))


def towers_of(snapshot: PublishedScorer, vector: NDArray[np.float32]) -> NDArray[np.float32]:
    segment = snapshot.manifest.segment("towers")
    assert segment is not None
    return vector[..., segment.slice]


def test_user_side_is_fold_in(snapshot: PublishedScorer) -> None:
    for row, user in enumerate(USERS[:15]):
        side = snapshot.fold_in(observed_of(snapshot.arrays, row), user)
        np.testing.assert_allclose(side.vector, snapshot.user_vectors[row], atol=1e-4)
        assert np.linalg.norm(towers_of(snapshot, side.vector)) > 0


def test_fold_in_knows_attributes(snapshot: PublishedScorer) -> None:
    observed = observed_of(snapshot.arrays, 2)  # of a user without a country
    undescribed, described = snapshot.fold_in(observed), snapshot.fold_in(observed, USERS[0])
    assert snapshot.folds_features
    assert np.abs(towers_of(snapshot, undescribed.vector - described.vector)).max() > 0.01
    np.testing.assert_array_equal(undescribed.vector[:1], described.vector[:1])


def test_fold_in_knows_ratings(snapshot: PublishedScorer) -> None:
    observed = observed_of(snapshot.arrays, 0)
    changed = snapshot.fold_in(observed._replace(values=observed.values[::-1]), USERS[0])
    assert np.abs(towers_of(snapshot, changed.vector - snapshot.user_vectors[0])).max() > 0.01


def test_new_user_by_attributes(snapshot: PublishedScorer) -> None:
    side = snapshot.side_of(USERS[15])
    assert side is not None
    np.testing.assert_allclose(side.vector, snapshot.user_vectors[15], atol=1e-4)
    other = snapshot.side_of(replace(USERS[15], country="SE"))
    assert other is not None
    assert np.abs(towers_of(snapshot, side.vector - other.vector)).max() > 0.01


def test_unknown_user_is_mean(snapshot: PublishedScorer, published: Published) -> None:
    nobody = snapshot.fold_in(Observations(np.empty(0, np.int64), np.empty(0)))
    np.testing.assert_allclose(nobody.vector, snapshot.user_vectors[16], atol=1e-4)
    _, towers, _ = published.learned.dense
    np.testing.assert_allclose(towers.user_part[16], towers.user_part[:15].mean(axis=0), atol=1e-6)
    assert snapshot.side_of(USERS[16]) is None


def test_new_items_as_if_published(snapshot: PublishedScorer) -> None:
    vectors = snapshot.vectors_of(ITEMS)
    np.testing.assert_allclose(vectors[20:], snapshot.item_vectors[20:], atol=1e-5)
    assert np.linalg.norm(towers_of(snapshot, vectors[20])) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(vectors[21], snapshot.arrays.unrated_item)
    assert snapshot.vectors_of([]).shape == (0, snapshot.item_vectors.shape[1])


def test_bare_item_is_mean(snapshot: PublishedScorer) -> None:
    towers = towers_of(snapshot, snapshot.item_vectors)
    np.testing.assert_allclose(towers[21], towers[:20].mean(axis=0), atol=1e-6)


def test_without_towers_nothing_is_asked(tmp_path: Path) -> None:
    assert not open_snapshot(write_small_snapshot(tmp_path), DATABASE_ID, 1).folds_features


@pytest.mark.parametrize("name", ARRAYS)
def test_array_missing(published: Published, tmp_path: Path, name: str) -> None:
    with pytest.raises(SnapshotDamagedError, match=f"lacks .*{name}"):
        published.open(tmp_path, **{name: None})


@pytest.mark.parametrize("name", ARRAYS)
def test_array_of_other_shape(published: Published, tmp_path: Path, name: str) -> None:
    array = published.arrays.extra[f"towers.{name}"]
    with pytest.raises(SnapshotDamagedError):
        published.open(tmp_path, **{name: np.concatenate([array, array + 1])})


@pytest.mark.parametrize(
    ("name", "forged"),
    [
        ("top_items", np.array([22], np.int32)),
        ("top_items", np.array([-1], np.int32)),
        ("unknown_user", np.full(4, np.nan, np.float32)),
        ("user_biases_3", np.zeros(4)),
    ],
)
def test_forged_array(published: Published, tmp_path: Path, name: str, forged: NDArray[Any]) -> None:
    with pytest.raises(SnapshotDamagedError, match=name):
        published.open(tmp_path, **{name: forged})
