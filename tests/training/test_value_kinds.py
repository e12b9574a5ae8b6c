"""Pairs and amounts: lists of one's own without predicted ratings, learned and folded in alike."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.taste_vectors import Weighting
from app.entities import IncomingRatings, RatingScale
from app.scoring import PublishedScorer
from app.serving.reranking.predicted_enough import PredictedEnough
from app.training.dataset import learnable, load_dataset
from tests.support.interactions import record_interactions
from tests.support.published import Shop, opened_shop
from tests.support.snapshot_data import observed_of
from tests.support.user_states import tasteful_ratings

AMOUNTS, PAIRS = RatingScale.parse("amounts"), RatingScale.parse("pairs")


def valued(scale: RatingScale) -> IncomingRatings:
    """Users with tastes, who consume amounts over ten decades, or with pairs."""
    rated = tasteful_ratings()
    amounts = 10.0 ** np.random.default_rng(0).uniform(-3, 7, len(rated))
    return replace(rated, value=np.ones(len(rated)) if scale.kind == "pairs" else amounts)


@pytest.fixture(scope="module", params=[AMOUNTS, PAIRS], ids=str)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened_shop(tmp_path_factory.mktemp("shop"), valued(request.param), request.param) as opened:
        yield opened


@pytest.fixture(scope="module")
def snapshot(shop: Shop) -> PublishedScorer:
    return shop.train()


def test_lists_are_personal(shop: Shop, snapshot: PublishedScorer) -> None:
    manifest = snapshot.manifest
    assert manifest.reason is None
    assert manifest.rating_scale == str(shop.store.instance.scale())
    names = {entry.name for entry in manifest.segments}
    assert names & {"taste", "item_item"}
    assert "popularity" in names
    assert "rating" not in names
    assert manifest.metrics.keys() == {"snapshot", "bestsellers", "recent"}
    own, bestsellers = (manifest.metrics[name]["ndcg@10"] for name in ("snapshot", "bestsellers"))
    assert own is not None
    assert bestsellers is not None
    assert own > 1.1 * bestsellers
    assert manifest.choices[0].startswith(f"values are {manifest.rating_scale}: ")
    assert any("no ratings are predicted" in choice for choice in manifest.choices[1:])


def test_nothing_is_predicted(snapshot: PublishedScorer) -> None:
    side = snapshot.user_side(0)
    assert np.isnan(snapshot.predict(side, snapshot.item_vectors)).all()
    assert np.isnan(snapshot.uncertainties(side, np.arange(3))).all()
    assert not PredictedEnough().works_with(snapshot)


def test_unchanged_history_folds_in_alike(snapshot: PublishedScorer) -> None:
    for user_row in (0, 7):
        observed = observed_of(snapshot.arrays, user_row)
        folded, published = snapshot.fold_in(observed), snapshot.user_side(user_row)
        np.testing.assert_allclose(folded.vector, published.vector, atol=1e-3, rtol=1e-3)
        for name, scores in published.tables.items():
            np.testing.assert_allclose(folded.tables[name], scores, atol=1e-4)
        assert (observed.values >= snapshot.liked_from).all()


def test_larger_amount_than_any(snapshot: PublishedScorer) -> None:
    observed = observed_of(snapshot.arrays, 0)
    larger = observed.values.astype(np.float64)
    larger[0] = 2.0**53
    vectors = [snapshot.fold_in(observed._replace(values=each)).vector for each in (larger, np.zeros(len(larger)))]
    assert np.isfinite(vectors).all()


def test_fallback_predicts_nothing(tmp_path: Path) -> None:
    """Too few amounts, and all of them 0."""
    few = IncomingRatings(["a", "a", "b"], ["x", "y", "x"], np.zeros(3), np.arange(3))
    with opened_shop(tmp_path, few, AMOUNTS) as opened:
        snapshot = opened.train()
    assert snapshot.manifest.reason is not None
    assert [entry.name for entry in snapshot.manifest.segments] == ["popularity"]


def test_few_amounts_among_events(tmp_path: Path) -> None:
    """Events that lead are choices or none: a negative one is below every amount."""
    few = IncomingRatings(["a", "a"], ["x", "y"], np.array([0.0, 5.0]), np.arange(2))
    with opened_shop(tmp_path, few, AMOUNTS) as opened:
        record_interactions(opened.store, [(f"u{n}", f"i{n % 7}", "shown" if n % 2 else "bought") for n in range(50)])
        ratings = load_dataset(opened.store).ratings
    assert (len(ratings), ratings.is_graded) == (52, False)
    assert ratings.item_choice_counts.sum() == 27


def test_lowest_amount_is_a_choice() -> None:
    """Two amounts are no like and dislike."""
    ratings = learnable(RatingMatrix(1, 2, [0, 0], [0, 1], [1, 2]), AMOUNTS)
    assert not ratings.is_graded
    assert not ratings.subset(np.array([True, False])).with_features(None).select_users(np.array([0])).is_graded
    columns = (ratings.user_rows, ratings.values, 1, 1.0)
    _, weights = Weighting.from_ratings(*columns, is_graded=ratings.is_graded)
    assert (weights > 0).all()
    assert weights[0] < weights[1]
