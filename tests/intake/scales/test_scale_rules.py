"""What values are, judged by their bulk."""

import numpy as np
import pytest

from app.entities import RatingScale
from app.intake.scales.scale_rules import scale_of
from app.intake.scales.value_counts import ValueCounts

RNG = np.random.default_rng(0)
STARS = [1, 2, 3, 4, 5, 3.5, 0.5, 4, 4, 5]
PLAYS = np.ceil(RNG.lognormal(1, 1.5, 2_000))


def detected(values: object) -> RatingScale:
    return scale_of(ValueCounts.of([np.asarray(values, dtype=float)]))


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1, 0, 1], "binary"),
        ([0, 0], "binary"),
        ([0.2, 0.9], "0:1"),
        ([1], "pairs"),
        ([7] * 20, "pairs"),
        ([7] * 19, "1:10:1"),
        ([2, 3, 4], "1:5:1"),
        ([5], "1:5:1"),
        ([0.5, 4], "0.5:5:0.5"),
        ([1.5, 3], "0.5:5:0.5"),
        ([2, 8], "1:10:1"),
        ([0, 35.5, 97], "0:100"),
        ([-9.95, 8.5], "-10:10"),
        ([0, 5], "0:5"),
        ([0, 10], "0:10"),
        ([-1, 1], "-1:1"),
        ([1.5, 3.7], "1.5:3.7"),
        ([-30, 200], "-30:200"),
        ([500], "amounts"),
        ([-500], "-500:0"),
    ],
)
def test_few_values(values: list[float], scale: str) -> None:
    assert detected(values) == RatingScale.parse(scale)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([*STARS, 500], "0.5:5:0.5"),
        ([*STARS, -99], "0.5:5:0.5"),
        ([*STARS[:5], 500], "amounts"),  # too few values to call one an outlier
        ([*STARS, 500, 400], "amounts"),  # too many to be outliers of ten
        ([*STARS * 200, 500, 400], "0.5:5:0.5"),
        ([1] * 50 + [500], "pairs"),
        ([1] * 50 + [0], "binary"),
        ([0, 1] * 50 + [7], "binary"),
        ([1, 2, 4, 5] * 50 + [3.5], "0.5:5:0.5"),  # half a star: a finer scale
        ([1, 2, 4, 5] * 50 + [3.67], "1:5:1"),
        ([1, 2, 4, 5] * 50 + [3.67] * 20, "1:5"),  # averages
        ([*STARS * 500, 45, 35, 4.55], "0.5:5:0.5"),
        ([1, 2, 3, 4, 5] * 2_000 + [0] * 10, "1:5:1"),
        ([1, 2, 3, 4, 5] * 2_000 + [0] * 50, "0:5"),
        ([1, 2, 3, 4, 5] * 40 + [0], "0:5"),
        ([1, 2, 3, 4, 5] * 40 + [6], "1:5:1"),
        ([1, 2, 3, 4, 5] * 2_000 + [6], "1:5:1"),
        ([*range(1, 11)] * 1_000 + [11] * 8, "1:10:1"),
        ([*range(1, 8)] * 2_000 + [8, 9], "1:7"),  # the top of 1:10:1 is never reached
        ([*range(1, 8)] * 2_000 + [80], "1:7"),
        ([*range(1, 8)] * 20 + [80], "1:7"),
        ([*range(1, 7)] * 20, "1:6"),
        ([1, 2, 3] * 40, "1:3"),
        ([0, 1, 2, 3] * 500, "0:3"),
        ([0, 1, 2, 3] * 500 + [4], "0:3"),
        ([0, 1, 2, 3] * 500 + [45], "0:3"),
        ([*range(101)] * 50 + [150], "0:100"),
        ([*range(11)] * 50 + [300_000], "0:10"),
        ([*range(-10, 11)] * 50 + [11], "-10:10"),
        ([-1, 1] * 500, "-1:1"),
        ([-1, 0, 1] * 500, "-1:1"),
    ],
)
def test_bulk_decides(values: list[float], scale: str) -> None:
    assert detected(values) == RatingScale.parse(scale)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (PLAYS, "amounts"),
        (PLAYS[PLAYS <= 90], "amounts"),  # within 0:100, but few reach its middle
        ([1] * 970 + [2] * 24 + [3] * 6, "amounts"),  # pieces that were bought
        (RNG.integers(1, 6, 500), "1:5:1"),
        ([1] * 60 + [2] * 20 + [3] * 10 + [4] * 6 + [5] * 4, "1:5:1"),  # complaints
        (RNG.integers(0, 101, 500), "0:100"),  # percentages
        (RNG.lognormal(6, 1, 500), "amounts"),  # seconds
        (RNG.lognormal(3, 1, 500).round(2), "amounts"),  # money spent
        (np.append(RNG.lognormal(3, 1, 500), [-20.0] * 10), "amounts"),  # some refunds
        (10 ** RNG.uniform(-3, 7, 500), "amounts"),
        (RNG.uniform(0, 400_000, 250_000), "amounts"),  # more distinct values than are kept
        (RNG.integers(1, 8, 500) / 7, "0:1"),
        (RNG.integers(1, 8, 500) / 70, "0.014285714285714285:0.1"),  # on 0:1 all would be disliked
    ],
)
def test_amounts_and_scales(values: np.ndarray, scale: str) -> None:
    assert detected(values) == RatingScale.parse(scale)


def test_standardised_ratings() -> None:
    values = RNG.normal(size=2_000)
    assert detected(values) == RatingScale(values.min(), values.max())
