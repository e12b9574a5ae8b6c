"""Ranking metrics against trec_eval, a slow readable version and cases worked by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.algorithms.labels import EventLabels
from app.algorithms.rating_matrix import RatingMatrix
from app.evaluation.metrics import mae, mse, rmse
from app.evaluation.ranking import RankingMetrics, best_items, evaluate_ranking, users_with_relevant


def by_hand() -> RankingMetrics:
    """One user: items 0..5, item 0 known, 1 and 4 liked, 3 disliked; scores fall with the item number."""
    train, test = (
        replace(RatingMatrix.from_arrays(*ratings), n_users=1, n_items=6)
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


def lists(shown: list[list[int]], n_candidates: int, n_raters: list[int], n_users: int) -> RankingMetrics:
    rows = np.array(shown)
    nothing = np.zeros(rows.shape, np.bool_)
    n_relevant, users = np.ones(len(rows), np.int64), np.arange(len(rows))
    return RankingMetrics(rows, nothing, n_relevant, n_candidates, np.array(n_raters), n_users, users)


def test_novelty_by_hand() -> None:
    ranking = lists([[0, 1], [2, 3], [3, -1], [-1, -1]], 4, [8, 4, 1, 0], 8)
    assert ranking.novelty.tolist() == [0.5, 3.0, 3.0, 0.0]  # 0 and 1 bit; 3 and 3, as one rated neither or both
    assert ranking.at(1).novelty.tolist() == [0.0, 3.0, 3.0, 0.0]


def test_gini_by_hand() -> None:
    assert lists([[0], [0], [0]], 4, [1] * 4, 1).gini == 1
    assert lists([[0, 1], [2, 3]], 4, [1] * 4, 1).gini == 0
    assert lists([[0, 1], [0, 2]], 4, [1] * 4, 1).gini == pytest.approx((-1 * 1 + 1 * 1 + 3 * 2) / (3 * 4))
    assert lists([[0]], 1, [1], 1).gini == 0
    assert lists([[-1]], 3, [1] * 3, 1).gini == 0


@given(st.lists(st.lists(st.integers(-1, 8), min_size=3, max_size=3), min_size=1, max_size=9))
def test_gini_as_mean_difference(shown: list[list[int]]) -> None:
    times = np.bincount([item for row in shown for item in row if item >= 0], minlength=9)
    differences = np.abs(times[:, None] - times).sum() / (9 * 8)  # of two different items
    gini = lists(shown, 9, [1] * 9, 1).gini
    assert gini == pytest.approx(differences / (2 * max(times.mean(), 1e-9)))
    assert -1e-12 <= gini <= 1 + 1e-12


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
@settings(max_examples=50)
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


def drawn(seed: int) -> tuple[RatingMatrix, RatingMatrix, NDArray[np.float32]]:
    """Ratings to learn from and to measure on, of 8 users and 40 items, and scores without ties."""
    rng = np.random.default_rng(seed)
    pairs, values = rng.permutation(8 * 40)[:200], rng.integers(1, 6, 200).astype(np.float32)
    train, test = (RatingMatrix(8, 40, pairs[part] // 40, pairs[part] % 40, values[part]) for part in (PART, ~PART))
    return train, test, rng.permutation(8 * 40).reshape(8, 40).astype(np.float32)


PART = np.arange(200) < 80


@pytest.mark.parametrize("k", [1, 5, 20])
def test_against_trec_eval(k: int) -> None:
    train, test, scores = drawn(k)
    users = users_with_relevant(test, 4)
    ranking = evaluate_ranking(lambda rows: scores[rows], users, train, test, liked_from=4, k=k)
    liked = {
        str(user): {str(item): 1 for item in test.item_rows[(test.user_rows == user) & (test.values >= 4)]}
        for user in users
    }
    known = {user: set(train.item_rows[train.user_rows == user]) for user in users}
    run = {
        str(user): {str(item): float(scores[user, item]) for item in range(40) if item not in known[user]}
        for user in users
    }
    measures = {f"{name}.{k}" for name in ("ndcg_cut", "recall", "P", "map_cut", "success")}
    theirs = pytrec_eval.RelevanceEvaluator(liked, measures).evaluate(run)
    ours = {
        "ndcg_cut": ranking.ndcg,
        "recall": ranking.recall_full,
        "P": ranking.precision,
        "map_cut": ranking.average_precision * np.minimum(k, ranking.n_relevant) / ranking.n_relevant,
        "success": ranking.hit_rate,
    }
    for name, figures in ours.items():
        assert figures == pytest.approx([theirs[str(user)][f"{name}_{k}"] for user in users]), name


def test_reciprocal_rank_of_trec_eval() -> None:
    train, test, scores = drawn(3)
    users = users_with_relevant(test, 4)
    ranking = evaluate_ranking(lambda rows: scores[rows], users, train, test, liked_from=4, k=40)
    shown = [{str(item): -place for place, item in enumerate(row) if item >= 0} for row in ranking.shown.tolist()]
    liked = [test.item_rows[(test.user_rows == user) & (test.values >= 4)] for user in users]
    theirs = pytrec_eval.RelevanceEvaluator(
        {str(user): {str(item): 1 for item in items} for user, items in zip(users, liked, strict=True)}, {"recip_rank"}
    ).evaluate({str(user): row for user, row in zip(users, shown, strict=True)})
    assert ranking.reciprocal_rank == pytest.approx([theirs[str(user)]["recip_rank"] for user in users])


@given(seed=st.integers(0, 10_000), k=st.integers(1, 39))
@settings(max_examples=40)
def test_what_always_holds(seed: int, k: int) -> None:
    train, test, scores = drawn(seed)
    users = users_with_relevant(test, 4)
    long = evaluate_ranking(lambda rows: scores[rows], users, train, test, liked_from=4, k=40)
    ranking = long.at(k)
    for figures in (ranking.ndcg, ranking.recall, ranking.precision, ranking.average_precision, ranking.hit_rate):
        assert ((figures >= 0) & (figures <= 1 + 1e-12)).all()
    assert (ranking.ndcg_full <= ranking.ndcg + 1e-12).all()
    assert (ranking.recall_full <= ranking.recall + 1e-12).all()
    assert (ranking.recall_full <= long.at(k + 1).recall_full).all()
    assert ranking.coverage <= long.at(k + 1).coverage <= 1
    assert (ranking.reciprocal_rank <= ranking.hit_rate).all()
    assert ((ranking.novelty >= 0) & (ranking.novelty <= math.log2(8))).all()
    assert 0 <= ranking.gini <= 1


def test_perfect_lists() -> None:
    train, test, _ = drawn(0)
    users = users_with_relevant(test, 4)
    liked = np.zeros((8, 40), np.float32)
    liked[test.user_rows, test.item_rows] = test.values
    ranking = evaluate_ranking(lambda rows: liked[rows], users, train, test, liked_from=4, k=5)
    for figures in (ranking.ndcg, ranking.recall, ranking.average_precision, ranking.reciprocal_rank):
        assert figures == pytest.approx(np.ones(len(users)))


def test_labelled_items_are_no_candidates() -> None:
    """A pair with a label is never held out: to list it could only be a miss."""
    labels = EventLabels([0], [1], [1], [0], 4.0)
    train = RatingMatrix(2, 4, [0, 1], [0, 1], [5.0, 5.0], labels=labels)
    holdout = RatingMatrix(2, 4, [0, 0], [2, 3], [5.0, 1.0])
    scores = np.array([[9.0, 8.0, 7.0, 6.0]])
    found = evaluate_ranking(lambda _: scores, np.array([0]), train, holdout, liked_from=4.0, k=3)
    assert found.shown.tolist() == [[2, 3, -1]]
