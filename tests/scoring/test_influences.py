"""Where a score comes from: its segments, and the ratings that carry it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.scoring import Observations, PublishedScorer, open_snapshot, write_snapshot
from app.scoring.blocks import RatingBlock
from app.scoring.features import Encodings
from app.segments.rating import RatingFold
from tests.support.snapshot_data import DATABASE_ID, GROUPS, RATING_FOLD, manifest_of, snapshot_arrays, with_table

N_ITEMS, N_FACTORS = 60, 5
ALL = np.arange(N_ITEMS)


def published(folder: Any, fold: RatingFold, *, has_precision: bool) -> PublishedScorer:
    arrays = snapshot_arrays(N_ITEMS, n_factors=N_FACTORS)
    if not has_precision:
        extra = {name: array for name, array in arrays.extra.items() if name != "rating.precision"}
        arrays = replace(arrays, extra=extra)
    rating, *others = with_table(N_FACTORS, N_ITEMS)
    manifest = manifest_of(arrays, segments=(replace(rating, numbers=fold.numbers), *others))
    return open_snapshot(write_snapshot(folder, manifest, arrays, Encodings(), GROUPS), DATABASE_ID, 1)


@pytest.fixture(scope="module", params=["penalty", "precision", "unbiased"])
def snapshot(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PublishedScorer:
    fold = replace(RATING_FOLD, biased=request.param != "unbiased")
    return published(tmp_path_factory.mktemp("snapshots"), fold, has_precision=request.param == "precision")


def rating_of(snapshot: PublishedScorer) -> RatingBlock:
    assert snapshot.rating is not None
    return snapshot.rating


def history_of(snapshot: PublishedScorer, n: int, seed: int) -> Observations:
    rng = np.random.default_rng(seed)
    return Observations(rng.permutation(snapshot.n_items)[:n], rng.integers(1, 6, n).astype(np.float64))


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(0, 10_000))
def test_ratings_carry_score(snapshot: PublishedScorer, n: int, seed: int) -> None:
    observed = history_of(snapshot, n, seed)
    side, vectors = snapshot.fold_in(observed), snapshot.item_vectors
    carried = snapshot.influences(observed, ALL, vectors)
    assert carried.shape == (N_ITEMS, n)
    rating = rating_of(snapshot).slice
    carried_by_none = vectors[:, rating.stop - 1] * side.vector[rating.stop - 1]
    carried_by_none += snapshot.shares(side, ALL, vectors)["popularity"]
    scores = snapshot.scores(side, ALL, vectors)
    np.testing.assert_allclose(carried.sum(axis=1) + carried_by_none, scores, atol=1e-3)


def test_segments_share_score(snapshot: PublishedScorer) -> None:
    side = snapshot.user_side(2)
    shares = snapshot.shares(side, ALL, snapshot.item_vectors)
    assert list(shares) == ["rating", "taste", "popularity", "item_item"]
    np.testing.assert_allclose(sum(shares.values()), snapshot.scores(side, ALL, snapshot.item_vectors), atol=1e-5)


def test_rating_carries_what_it_changes(snapshot: PublishedScorer) -> None:
    """Without a taste to reweigh, what a rating carries is what the score loses where that rating says nothing new."""
    rows, values, *_ = history_of(snapshot, 8, 0)
    rating = rating_of(snapshot)
    columns, fold = snapshot.item_vectors[rows][:, rating.slice], rating.fold
    shown = snapshot.item_vectors[:, rating.slice]
    carried = fold.influences(columns, values, shown)
    as_expected = values.copy()
    as_expected[3] = fold.mean + columns[3, -1]
    with_it, without_it = (fold.fold_in(columns, each, rows).columns for each in (values, as_expected))
    np.testing.assert_allclose(carried[:, 3], shown @ (with_it - without_it), atol=1e-4)


def test_nothing_carries_nothing(snapshot: PublishedScorer) -> None:
    nothing = Observations(ALL[:0], np.empty(0))
    assert snapshot.influences(nothing, ALL, snapshot.item_vectors).shape == (N_ITEMS, 0)
    assert snapshot.influences(history_of(snapshot, 3, 0), ALL[:0], snapshot.item_vectors[:0]).shape == (0, 3)


def test_items_carry_each_other(snapshot: PublishedScorer) -> None:
    rows = np.flatnonzero(snapshot.arrays.item_counts)[:6]
    block = snapshot.blocks[1]
    taste = snapshot.item_vectors[:, block.slice]
    carried = block.fold.influences(taste[rows], np.full(6, 4.0), taste[rows])
    assert carried is not None
    assert (np.diag(carried) > 0).all()
    np.testing.assert_allclose(carried, carried.T, atol=1e-9)  # of equal weights: y' A^-1 y is symmetric
