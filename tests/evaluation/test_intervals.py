"""The bootstrap against what statistics knows of means."""

import math
import sys

import numpy as np
import pytest
from scipy import stats

from app.evaluation import intervals
from app.evaluation.intervals import N_RESAMPLES, Difference, Interval, mean_of_measured, resampled_means

SEED = 0


def means_of(values: np.ndarray, seed: int = SEED) -> np.ndarray:
    resamples: np.ndarray = resampled_means(values[:, None], np.random.default_rng(seed))[:, 0]
    return resamples


@pytest.mark.parametrize("n", [50, 1000, 20_000])
def test_spread_of_a_mean(n: int) -> None:
    values = np.random.default_rng(1).exponential(3.0, n)
    resamples = means_of(values)
    assert resamples.shape == (N_RESAMPLES,)
    assert resamples.std() == pytest.approx(values.std() / math.sqrt(n), rel=0.1)
    assert resamples.mean() == pytest.approx(values.mean(), abs=4 * resamples.std() / math.sqrt(N_RESAMPLES))


def test_same_as_scipy() -> None:
    values = np.random.default_rng(2).normal(3, 1, 400)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=0).confidence_interval
    ours = Interval.from_resamples(means_of(values))
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    found = [Interval.from_resamples(means_of(rng.exponential(1.0, 200), seed)) for seed in range(200)]
    share = np.mean([interval is not None and interval.low <= 1 <= interval.high for interval in found])
    assert 0.89 <= share <= 0.99


def test_same_seed_same_draws() -> None:
    values = np.random.default_rng(4).normal(size=(300, 1))
    together = resampled_means(np.hstack([values, values + 1]), np.random.default_rng(0))
    assert together[:, 1] == pytest.approx(together[:, 0] + 1)
    assert (means_of(values[:, 0]) == means_of(values[:, 0])).all()
    # BLAS may sum in another order beside a second column, so the last bit may differ between the two shapes.
    assert means_of(values[:, 0]) == pytest.approx(together[:, 0], rel=1e-12)
    assert (means_of(values[:, 0], 1) != together[:, 0]).any()


def test_unmeasured_is_left_out() -> None:
    values = np.random.default_rng(5).normal(7, 1, 500)
    values[::2] = np.nan
    resamples = means_of(values)
    assert resamples.std() == pytest.approx(np.nanstd(values) / math.sqrt(250), rel=0.15)
    assert resamples.mean() == pytest.approx(np.nanmean(values), abs=0.02)


def test_one_unit_tells_nothing() -> None:
    assert Interval.from_resamples(means_of(np.array([3.0]))) is None
    assert Difference.from_resamples(0.5, means_of(np.array([3.0])), means_of(np.array([2.5]))) == Difference(
        0.5, None, None
    )


def test_pairs_are_surer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    hardness = rng.normal(0, 1, 400)
    first, second = hardness + rng.normal(0.05, 0.1, 400), hardness + rng.normal(0, 0.1, 400)
    paired = Difference.from_resamples(first.mean() - second.mean(), means_of(first), means_of(second))
    unpaired = Difference.from_resamples(first.mean() - second.mean(), means_of(first), means_of(second, 1))
    assert paired.interval is not None
    assert paired.interval.low > 0
    assert paired.chance == pytest.approx(2 / (N_RESAMPLES + 1))
    assert unpaired.chance is not None
    assert unpaired.chance > 0.05
    monkeypatch.setattr(sys.modules[intervals.__name__], "MAX_UNITS", 100)  # in bags, too
    assert Difference.from_resamples(0, means_of(first), means_of(second)).chance == paired.chance


def test_no_difference_is_chance() -> None:
    resamples = means_of(np.arange(10.0))
    assert Difference.from_resamples(0.0, resamples, resamples) == Difference(0.0, Interval(0.0, 0.0), 1.0)


def test_mean_of_measured() -> None:
    assert mean_of_measured([1.0, None, 2.0]) == 1.5
    assert mean_of_measured([None]) is None
