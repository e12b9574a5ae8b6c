"""The baseline of what was chosen of late."""

import numpy as np

from app.algorithms.rating_matrix import UNKNOWN_TIME, RatingMatrix
from app.evaluation.recent import Recent, RecentLearner

DAY = 86_400_000_000


def fitted(items: list[int], days: list[float] | None) -> Recent:
    times = None if days is None else np.array([DAY * day for day in days], np.int64)
    ratings = RatingMatrix(len(items), 6, np.arange(len(items)), items, np.ones(len(items)), times)
    return RecentLearner().fit(ratings, np.random.default_rng(0))


def best(recent: Recent) -> list[int]:
    rows: list[int] = np.argsort(-recent.scores(np.array([3]))[0], kind="stable").tolist()
    return rows


def test_short_window_for_fashions() -> None:
    """One item after the other is all that is chosen, for ten days each."""
    days = [float(day) for day in range(60)]
    recent = fitted([day // 10 for day in range(60)], days)
    assert recent.window is not None
    assert recent.window <= 15 * DAY
    assert best(recent)[0] == 5
    assert recent.remark.startswith("counts the last ")


def test_whole_span_for_classics() -> None:
    """Always the same shares: the most ratings tell most."""
    rng = np.random.default_rng(0)
    items = rng.choice(6, 400, p=[0.35, 0.25, 0.15, 0.12, 0.08, 0.05])
    recent = fitted(items.tolist(), sorted(rng.random(400).tolist()))
    assert recent.window is not None
    assert recent.window > DAY / 8
    assert best(recent)[:3] == [0, 1, 2]


def test_ties_by_all_counts() -> None:
    recent = fitted([4, 4, 1, 3, 3, 0, 2, 2], [0, 0, 1, 1, 1, 2, 100, 100])
    assert best(recent)[1:3] == [3, 4]
    assert sorted(recent.scores_of(RatingMatrix(1, 6, [], [], []))[0].tolist()) == [0, 1, 2, 3, 4, 5]


def test_without_times() -> None:
    unknown = UNKNOWN_TIME / DAY
    for days in (None, [7.0, 7, 7, 7], [unknown] * 4, [unknown, unknown, unknown, 3]):
        recent = fitted([2, 5, 5, 0], days)
        assert (best(recent)[:3], recent.window) == ([5, 0, 2], None)
        assert "all ratings" in recent.remark
