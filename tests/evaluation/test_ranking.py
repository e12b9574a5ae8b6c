"""Ranking metrics against a slow readable version and cases worked by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.evaluation.metrics import mae, mse, rmse
from app.evaluation.ranking import Ranking, best_items, evaluate_ranking, users_with_relevant


def by_hand() -> Ranking:
    """One user: items 0..5, item 0 known, 1 and 4 liked, 3 disliked; scores fall with the item number."""
    train, test = (
        replace(RatingMatrix.of(*ratings), n_users=1, n_items=6)
        for ratings in (([0], [0], [5.0]), ([0, 0, 0], [1, 4, 3], [4.0, 5.0, 2.0]))
    )

    def score(users: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.tile(-np.arange(6.0), (len(users), 1))

    return evaluate_ranking(score, np.array([0]), train, test, liked_from=4, k=3)


def test_worked_by_hand() -> None:
    ranking = by_hand()
    assert ranking.shown.tolist() == [[1, 3, 4]]
    assert ranking.is_hit.tolist() == [[True, False, True]]
    ideal = 1 + 1 / math.log2(3)
    assert ranking.ndcg[0] == pytest.approx((1 + 1 / math.log2(4)) / ideal)
    assert ranking.at(1).ndcg[0] == 1
    assert ranking.at(1).ndcg_full[0] == pytest.approx(1 / ideal)
    assert (ranking.recall[0], ranking.at(1).recall[0], ranking.at(1).recall_full[0]) == (1, 1, 0.5)
    assert ranking.precision[0] == pytest.approx(2 / 3)
    assert ranking.average_precision[0] == pytest.approx((1 + 2 / 3) / 2)
    assert ranking.reciprocal_rank[0] == 1
    assert ranking.hit_rate[0] == 1
    assert ranking.coverage == pytest.approx(3 / 4)


def test_only_items_of_the_split_compete() -> None:
    assert 5 not in by_hand().shown
    assert by_hand().n_candidates == 4


def test_rating_errors() -> None:
    predicted, actual = np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 2.0])
    assert mse(predicted, actual) == pytest.approx(5 / 3)
    assert rmse(predicted, actual) == pytest.approx(math.sqrt(5 / 3))
    assert mae(predicted, actual) == 1


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, -np.inf]), min_size=1, max_size=20), st.integers(1, 20))
def test_best_items_with_ties(scores: list[float], k: int) -> None:
    k = min(k, len(scores))
    ranked = sorted(
        (row for row in range(len(scores)) if np.isfinite(scores[row])), key=lambda row: (-scores[row], row)
    )
    assert best_items(np.array(scores, dtype=np.float32), k).tolist() == ranked[:k]


@given(seed=st.integers(0, 10_000), k=st.integers(1, 12))
@settings(deadline=None, max_examples=50)
def test_against_slow_version(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(6 * 9)[:30].astype(np.int32)
    users, items, values = pairs // 9, pairs % 9, rng.integers(1, 6, 30).astype(np.float32)
    train = RatingMatrix(6, 9, users[:15], items[:15], values[:15])
    test = RatingMatrix(6, 9, users[15:], items[15:], values[15:])
    scores = rng.integers(0, 4, (6, 9)).astype(np.float32)
    measured = users_with_relevant(test, 4)
    ranking = evaluate_ranking(lambda rows: scores[rows], measured, train, test, liked_from=4, k=k)
    candidates = set(items.tolist())
    for place, user in enumerate(measured):
        known = set(items[:15][users[:15] == user].tolist())
        liked = set(items[15:][(users[15:] == user) & (values[15:] >= 4)].tolist())
        ranked = sorted(candidates - known, key=lambda item: (-scores[user, item], item))[:k]
        gain = sum(1 / math.log2(n + 2) for n, item in enumerate(ranked) if item in liked)
        k_shown = min(k, len(candidates))
        ideal = sum(1 / math.log2(n + 2) for n in range(min(k_shown, len(liked))))
        assert ranking.ndcg[place] == pytest.approx(gain / ideal)
        assert ranking.recall[place] == pytest.approx(len(liked & set(ranked)) / min(k_shown, len(liked)))
