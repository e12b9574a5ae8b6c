"""Which values are no ratings."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.entities import RatingScale
from app.intake.scales.scale import Detection, detect_scale
from app.intake.scales.scale_rules import ENOUGH_VALUES, NEGATIVE_SHARE
from app.intake.scales.value_counts import ValueCounts

FIVE, TEN = [1, 2, 3, 4, 5], [*range(1, 11)]
HALVES = [number / 2 for number in range(1, 11)]
JESTER = np.linspace(-10, 10, 2_001).round(2).tolist()


def detected(values: Sequence[float]) -> Detection:
    return detect_scale(ValueCounts.of([np.array(values, dtype=float)]))


@pytest.mark.parametrize(
    ("values", "scale", "missing"),
    [
        (TEN * 20 + [0] * 300, "1:10:1", [0]),  # BookCrossing
        (TEN * 20 + [-1] * 50, "1:10:1", [-1]),  # anime lists
        ([*range(11)] * 20 + [-1] * 50, "0:10", [-1]),
        ([*range(101)] * 20 + [-1], "0:100", [-1]),
        (JESTER + [99] * 4_000, "-10:10", [99]),
        (FIVE * 20 + [99] * 30, "1:5:1", [99]),
        (FIVE * 4 + [99] * 3, "1:5:1", [99]),
        (FIVE * 40 + [9] * 20, "1:5:1", [9]),
        ([*range(1, 8)] * 40 + [99] * 90, "1:7", [99]),
        ([0, 1] * 60 + [9] * 5, "binary", [9]),
        (HALVES * 30 + [0] * 400, "0.5:5:0.5", [0]),
        (TEN * 40 + [0] * 500 + [99] * 60, "1:10:1", [0, 99]),
        ([-1, 9, 10], "1:10:1", [-1]),
        ([0, 9, 10], "0:10", []),
        ([*range(200)] * 2 + [-1] * 50, "amounts", [-1]),
        ([-1, 1] * 100, "-1:1", []),
        ([-1, 0, 1] * 100, "-1:1", []),
        ([-1, 1, 2] * 100, "-1:2", []),
        ([0, 1, 2, 3, 4, 5] * 100, "0:5", []),
        (FIVE * 100 + [0] * 120, "0:5", []),  # as frequent as a grade
        ([1] * 5 + [2, 3, 4] * 50 + [5] * 500 + [0] * 60, "0:5", []),  # rarer than a grade
        (FIVE * 100 + [6] * 900, "1:6", []),  # the top of a scale may be its most frequent grade
        ([1, 2] * 50 + [5] * 50, "1:5:1", []),  # 3 and 4 were not given
        ([2, 3, 4, 5, 5, 9, 9] * 3, "1:10:1", []),  # too few to say that grades are not in use
        (TEN * 20 + [-1, -2, -3] * 10, "-10:10", []),
        ([10, 20] * 50 + [100] * 50, "0:100", []),
    ],
)
def test_missing(values: list[float], scale: str, missing: list[float]) -> None:
    found = detected(values)
    assert (found.scale, found.missing.values.tolist()) == (RatingScale.parse(scale), missing)


@pytest.mark.parametrize(
    ("values", "doubtful"),
    [
        ([0, 9, 10], 0),
        (FIVE * 12 + [0], 0),
        (FIVE * 100 + [0] * 300, 0),
        (FIVE * 100 + [0] * 120, None),
        ([0, 35.5, 97], None),
        (TEN * 20 + [0] * 300, None),
        ([0, 1, 1], None),
    ],
)
def test_doubtful(values: list[float], doubtful: float | None) -> None:
    assert detected(values).doubtful == doubtful


def noted(found: Detection, used: RatingScale, *, is_asking: bool) -> list[str]:
    places = {45.0: "line 7", 4.55: "line 9"}
    return found.notes(used, found.missing_of(used).values, places, is_asking=is_asking)


@pytest.mark.parametrize(
    ("values", "notes"),
    [
        (HALVES * 1_200 + [45], "1 value is far from the others and was set aside: 45 (line 7)"),
        (
            HALVES * 1_200 + [35, 45, 45, 4.55],
            (
                "3 values are far from the others and were set aside: 35, 45 (2 times, first in line 7)\n"
                "1 value is not on the scale 0.5:5:0.5 of the others and was set aside: 4.55 (line 9)"
            ),
        ),
        (
            FIVE * 2_000 + [4.1, 4.2, 4.3, 4.4, 4.6, 4.7],
            "6 values are not on the scale 1:5:1 of the others and were set aside: 4.1, 4.2, 4.3, 4.4, 4.6 and 1 more",
        ),
        (
            TEN * 20 + [0] * 300,
            (
                "0 is the value of 300 of 500 rows (60 %) and lies off the scale of the others, so it was taken for a"
                " missing rating and set aside; --missing 0 confirms this, --scale 0:10 keeps these ratings, and if the"
                " rows say that an item was used, import them as events"
            ),
        ),
        (
            [*range(200), -1],
            (
                "-1 is the value of 1 of 201 rows (0.5 %) and lies off the scale of the others, so it was taken for a"
                " missing rating and set aside; --missing -1 confirms this, and if the rows say that an item was used,"
                " import them as events"
            ),
        ),
        (
            [0, 9, 10],
            (
                "0 is the value of 1 of 3 rows and was taken for a rating; if it stands for a missing one, import into"
                " an empty database with --missing 0"
            ),
        ),
    ],
)
def test_notes(values: list[float], notes: str) -> None:
    found = detected(values)
    assert "\n".join(noted(found, found.scale, is_asking=True)) == notes


def test_notes_of_stated_scale() -> None:
    """What a stated scale holds is neither missing nor doubtful."""
    for values in (TEN * 20 + [0] * 300, [0, 9, 10]):
        assert noted(detected(values), RatingScale(0, 10), is_asking=False) == []


def is_known(found: Detection, others: np.ndarray) -> bool:
    """Whether every value has one and only one role."""
    accepted = found.scale.contains(others)
    roles = [accepted, np.isin(others, found.missing.values), np.isin(others, found.outliers.values)]
    return bool((np.sum(roles, axis=0) == 1).all())


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
@example([0.0] * 8 + [2.0, -1.0])
def test_scale_holds_the_bulk(values: list[float]) -> None:
    """All but an outlier at each end and what stands for missing ratings, or negative amounts."""
    found = detected(values)
    n_outliers = 2 if len(values) >= ENOUGH_VALUES else 0
    n_off = np.count_nonzero(~found.scale.contains(np.array(values))) - found.missing.total
    assert n_off <= max(n_outliers, NEGATIVE_SHARE * len(values))


grades = st.sampled_from([FIVE, HALVES, TEN, [*range(1, 8)], [0, 1, 2, 3], [*range(0, 101, 5)], [*range(-10, 11)]])


@given(
    grades,
    st.sampled_from([None, -1, 99, 999]),
    st.lists(st.sampled_from([45, 35, 4.55, 1_000, -50, 11, 0, 6, 50_000]), max_size=3),
    st.integers(0, 2**32),
)
@settings(max_examples=40)
def test_all_at_once(scale: list[float], stand_in: float | None, typos: list[float], seed: int) -> None:
    """Typos and a value for missing ratings change nothing, in whatever order and batches values arrive."""
    rng = np.random.default_rng(seed)
    ratings = np.repeat(np.array(scale, dtype=float), rng.integers(1_000, 2_000, len(scale)))
    missing = [] if stand_in is None or scale[0] <= stand_in <= scale[-1] else [stand_in]
    stand_ins = np.repeat(np.array(missing, dtype=float), rng.integers(len(ratings) // 50, len(ratings)))
    values = np.concatenate([ratings, stand_ins, np.array(typos, dtype=float)])
    found = detected(values.tolist())
    assert found.scale == detected(ratings.tolist()).scale
    assert found.scale.contains(ratings).all()
    assert found.missing.values.tolist() == missing
    assert is_known(found, np.unique(values))
    batches = np.array_split(rng.permutation(values), rng.integers(1, 5))
    again = detect_scale(ValueCounts.of(batches))
    assert (again.scale, again.doubtful) == (found.scale, found.doubtful)
    for one, other in ((again.missing, found.missing), (again.outliers, found.outliers)):
        assert (one.values.tolist(), one.counts.tolist()) == (other.values.tolist(), other.counts.tolist())


@pytest.mark.parametrize(("values", "scale"), [([1.0, 2, 3, 5] * 30, "amounts"), ([1.0] * 30, "pairs")])
def test_known_amounts(values: list[float], scale: str) -> None:
    """Quantities from 1 to 5 look like grades, and the name of their column says that they are none."""
    found = detect_scale(ValueCounts.of([np.array(values)]), are_amounts=True)
    assert str(found.scale) == scale
