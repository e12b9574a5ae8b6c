from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.entities import User
from app.scoring import Observations, PublishedScorer, open_snapshot, scorer, write_snapshot
from app.scoring.features import Encodings
from tests.support.snapshot_data import DATABASE_ID, GROUPS, manifest_of, observed_of, segments, snapshot_arrays


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> PublishedScorer:
    arrays = snapshot_arrays(n_items=200, n_users=30, n_factors=5)
    root = tmp_path_factory.mktemp("snapshots")
    return open_snapshot(write_snapshot(root, manifest_of(arrays), arrays, Encodings(), GROUPS), DATABASE_ID, 1)


def test_keys_to_rows(snapshot: PublishedScorer) -> None:
    assert [snapshot.user_row(int(key)) for key in snapshot.arrays.user_keys[:3]] == [0, 1, 2]
    assert snapshot.user_row(int(snapshot.arrays.user_keys[-1])) == len(snapshot.arrays.user_keys) - 1
    assert snapshot.user_row(10_000) is None


@settings(max_examples=50)
@given(st.integers(0, 29), st.integers(0, 250))
def test_nearest_is_exact(snapshot: PublishedScorer, user_row: int, n: int) -> None:
    vector = snapshot.user_vectors[user_row]
    rows, scores = snapshot.index.nearest(vector, n)
    expected = snapshot.item_vectors @ vector
    assert len(rows) == min(n, 200)
    np.testing.assert_allclose(expected[rows], np.sort(expected)[::-1][:n], atol=1e-5)
    np.testing.assert_allclose(scores, expected[rows], rtol=1e-4, atol=1e-5)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 199), unique=True), st.integers(1, 30))
def test_nearest_among_allowed(snapshot: PublishedScorer, allowed_rows: list[int], n: int) -> None:
    allowed = np.zeros(snapshot.n_items, np.bool_)
    allowed[allowed_rows] = True
    rows, scores = snapshot.index.nearest(snapshot.user_vectors[0], n, allowed)
    assert len(rows) == min(n, len(allowed_rows))
    assert allowed[rows].all()
    assert np.all(np.diff(scores) <= 0)


def test_ties_by_row(tmp_path: Path) -> None:
    arrays = snapshot_arrays()
    arrays = replace(arrays, item_vectors=np.ones_like(arrays.item_vectors))
    tied = open_snapshot(write_snapshot(tmp_path, manifest_of(arrays), arrays, Encodings(), GROUPS), DATABASE_ID, 1)
    rows, _ = tied.index.nearest(tied.user_vectors[0], 40)
    assert rows.tolist() == list(range(40))


def test_engagements_without_a_taste(tmp_path: Path) -> None:
    """As in a list of bestsellers, or where the taste improves no list: they say nothing, and nothing fails."""
    arrays = snapshot_arrays()
    rating, *_ = segments()
    others = {name: array for name, array in arrays.extra.items() if name != "taste.gram"}
    prior = replace(segments()[2], columns=(3, 4))
    arrays = replace(arrays, extra=others)
    manifest = manifest_of(arrays, segments=(rating, prior))
    plain = open_snapshot(write_snapshot(tmp_path, manifest, arrays, Encodings(), GROUPS), DATABASE_ID, 1)
    observed = Observations(np.array([3, 5]), np.array([4.0, 2.0]), np.array([7]))
    side, without = plain.fold_in(observed), plain.fold_in(observed._replace(positive_rows=np.empty(0, np.int64)))
    np.testing.assert_array_equal(side.vector, without.vector)
    carried = plain.influences(observed, np.arange(40), plain.item_vectors)
    np.testing.assert_array_equal(carried[:, 2], 0)


def test_popular_in_group(snapshot: PublishedScorer) -> None:
    assert snapshot.groups.attributes == ("country",)
    assert snapshot.groups.popular_by("country", "FI").tolist() == snapshot.arrays.group_rows[:2].tolist()
    assert snapshot.groups.popular_by("country", "SE").tolist() == snapshot.arrays.group_rows[2:].tolist()
    assert snapshot.groups.popular_by("country", "NO").tolist() == []
    assert snapshot.groups.popular_by("plan", "FI").tolist() == []
    assert snapshot.groups.numbers_of(User("new", "SE")) == [1]
    assert snapshot.groups.numbers_of(User("new", "NO")) == snapshot.groups.numbers_of(User("new")) == []


def test_history_is_users_own(snapshot: PublishedScorer) -> None:
    rows, values, times = snapshot.arrays.history(3)
    start, stop = snapshot.arrays.history_starts[3:5]
    assert rows.tolist() == snapshot.arrays.history_rows[start:stop].tolist()
    assert len(times) == len(values) == len(rows) > 0


def test_ratings_of_item(snapshot: PublishedScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the histories of the users hold them, also over the ends of the parts that are scanned."""
    monkeypatch.setattr(scorer, "SCANNED_AT_ONCE", 3)
    histories = [snapshot.arrays.history(row) for row in range(len(snapshot.arrays.user_keys))]
    for item_row in range(snapshot.n_items):
        expected = [
            (float(values[place]), int(times[place]))
            for rows, values, times in histories
            for place in np.flatnonzero(rows == item_row)
        ]
        values, times = snapshot.ratings_of(item_row)
        assert list(zip(values.tolist(), times.tolist(), strict=True)) == expected
    assert len(snapshot.ratings_of(snapshot.n_items)[0]) == 0


def test_fold_in_scores_segments(snapshot: PublishedScorer) -> None:
    """Every segment's scores have its weight as their standard deviation, over the rated items."""
    side = snapshot.fold_in(observed_of(snapshot.arrays, 0))
    is_rated = snapshot.arrays.item_counts > 0
    for segment in segments(5):
        scores = snapshot.item_vectors[:, segment.slice] @ side.vector[segment.slice]
        assert np.std(scores[is_rated]) == pytest.approx(segment.weight, rel=1e-3)


def test_fold_in_is_regression(snapshot: PublishedScorer) -> None:
    """The taste is what solves the normal equations, up to its scale."""
    observed = observed_of(snapshot.arrays, 0)
    rows, values = observed.item_rows, observed.values
    taste = segments(5)[1]
    factors = snapshot.item_vectors[rows, taste.slice].astype(np.float64)
    own_mean = (5 * 3.0 + values.sum()) / (5 + len(values))
    weights = np.exp(values - (own_mean + 3.0) / 2)
    system = snapshot.arrays.extra["taste.gram"] + (factors.T * weights) @ factors
    expected = np.linalg.solve(system + 0.1 * (weights.sum() + 4.0) * np.eye(3), weights @ factors)
    found = snapshot.fold_in(observed).vector[taste.slice]
    np.testing.assert_allclose(found / np.linalg.norm(found), expected / np.linalg.norm(expected), atol=1e-4)


def test_fold_in_of_nobody(snapshot: PublishedScorer) -> None:
    side = snapshot.fold_in(Observations(np.empty(0, np.int64), np.empty(0)))
    assert side.bias == 0
    assert np.isfinite(side.vector).all()
    predicted = snapshot.predict(side, snapshot.item_vectors[:5])
    np.testing.assert_allclose(predicted, np.clip(3.5 + snapshot.item_vectors[:5, 5], 1, 5), rtol=1e-5)
    assert snapshot.predict(side, snapshot.arrays.unrated_item[None])[0] == pytest.approx(3.5)


def test_predictions_stay_on_scale(snapshot: PublishedScorer) -> None:
    for user_row in range(30):
        predicted = snapshot.predict(snapshot.user_side(user_row), snapshot.item_vectors)
        assert predicted.min() >= 1
        assert predicted.max() <= 5


def test_tiny_weight_still_predicts(snapshot: PublishedScorer) -> None:
    """A list of pure bestsellers still tells what rating to expect."""
    manifest = replace(snapshot.manifest, segments=segments(5, rating_weight=1e-4))
    light = PublishedScorer.from_parts(manifest, snapshot.arrays, snapshot.index, snapshot.encodings)
    observed = observed_of(snapshot.arrays, 1)
    np.testing.assert_allclose(
        light.predict(light.fold_in(observed), snapshot.item_vectors),
        snapshot.predict(snapshot.fold_in(observed), snapshot.item_vectors),
        rtol=1e-4,
    )


def test_similar_beyond_stored(snapshot: PublishedScorer) -> None:
    item_row = int(np.argmax(snapshot.arrays.item_counts))
    stored_rows, stored_scores = snapshot.similar(item_row, 20)
    rows, scores = snapshot.similar(item_row, 60)
    assert rows[:20].tolist() == stored_rows.tolist()
    np.testing.assert_allclose(scores[:20], stored_scores, rtol=1e-5)
    assert item_row not in rows


def test_users_alike(snapshot: PublishedScorer) -> None:
    side, taste = snapshot.user_side(4), segments(5)[1].slice
    rows, similarities = snapshot.similar_users(side, 10, left_out=4)
    assert 0 < len(rows) <= 10
    assert 4 not in rows
    n_rated = len(snapshot.arrays.history(int(rows[0]))[0])
    vectors = snapshot.user_vectors[[4, rows[0]]][:, taste]
    cosine = vectors[0] @ vectors[1] / np.prod(np.linalg.norm(vectors, axis=1))
    assert similarities[0] == pytest.approx(cosine * n_rated / (n_rated + 10), rel=1e-5)
    assert snapshot.similar_users(snapshot.unknown_side, 10)[0].tolist() == []


def test_unrated_item_has_none_similar(snapshot: PublishedScorer) -> None:
    item_row = int(np.argmin(snapshot.arrays.item_counts))
    assert snapshot.arrays.item_counts[item_row] == 0
    assert snapshot.similar(item_row, 10)[0].tolist() == []
    assert snapshot.similar(item_row, 100)[0].tolist() == []


def test_unknown_user_gets_popular(snapshot: PublishedScorer) -> None:
    prior = segments(5)[-1]
    scores = snapshot.item_vectors @ snapshot.unknown_side.vector
    popularity = snapshot.item_vectors[:, prior.slice][:, 0]
    assert (np.diff(popularity[np.argsort(-scores)]) <= 1e-3).all()
    predicted = snapshot.predict(snapshot.unknown_side, snapshot.item_vectors)
    np.testing.assert_allclose(predicted, np.clip(3.5 + snapshot.item_vectors[:, 5], 1, 5), rtol=1e-4)
