"""How the places in lists are spread over the items, by hand."""

import numpy as np
import pytest

from app.evaluation.exposure import exposure_by_popularity, lorenz_curve
from app.evaluation.ranking import RankingMetrics


def ranking(shown: list[list[int]], n_raters: list[int], n_candidates: int) -> RankingMetrics:
    lists = np.array(shown)
    n = len(lists)
    hits = np.zeros(lists.shape, np.bool_)
    return RankingMetrics(lists, hits, np.ones(n, np.int64), n_candidates, np.array(n_raters), 9, np.arange(n))


def test_lorenz_curve() -> None:
    """Of four candidates, one has three of four places, another one the rest; -1 is no place."""
    points = lorenz_curve(ranking([[0, 1], [0, -1], [0, -1]], [5, 2, 1, 0], n_candidates=4))
    assert points[0] == (0.0, 0.0)
    assert points[-1] == (1.0, 1.0)
    reached = dict(points)
    assert (reached[0.5], reached[0.75]) == (0.0, 0.25)


def test_curve_agrees_with_gini() -> None:
    """Twice the area between the diagonal and the curve is (n - 1) / n of the Gini coefficient of n candidates."""
    n, rng = 40, np.random.default_rng(0)
    of_lists = ranking(rng.integers(0, n, (30, 5)).tolist(), [1] * n, n)
    x, y = np.array(lorenz_curve(of_lists)).T
    assert 1 - 2 * np.trapezoid(y, x) == pytest.approx(of_lists.gini * (n - 1) / n, abs=1e-3)


def test_by_popularity() -> None:
    """Twenty items in ten groups of two; only the most chosen one is shown."""
    groups = exposure_by_popularity(ranking([[19], [19]], list(range(1, 21)), n_candidates=20))
    assert len(groups) == 10
    assert groups[0] == (round(3 / 210, 6), 0.0)
    assert groups[-1] == (round(39 / 210, 6), 1.0)
    assert sum(chosen for chosen, _ in groups) == pytest.approx(1, abs=1e-5)


def test_nothing_shown() -> None:
    nothing = ranking([[-1, -1]], [3, 1], n_candidates=2)
    assert lorenz_curve(nothing) == exposure_by_popularity(nothing) == ()
