import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.entities import RatingScale
from app.intake.scale import detect_scale


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1, 0, 1], "0:1"),
        ([0.2, 0.9], "0:1"),
        ([1], "0:1"),
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
        ([500], "0:500"),
        ([-500], "-500:0"),
    ],
)
def test_scale_of_values(values: list[float], scale: str) -> None:
    assert detect_scale([np.array(values, dtype=float)]) == RatingScale.parse(scale)


def test_batches_count_together() -> None:
    assert detect_scale([np.array([1.0, 2.0]), np.empty(0), np.array([4.5])]) == RatingScale(0.5, 5, 0.5)


def test_nothing_to_detect() -> None:
    assert detect_scale([]) is None
    assert detect_scale([np.empty(0)]) is None


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_detected_scale_holds_all(values: list[float]) -> None:
    scale = detect_scale([np.array(values)])
    assert scale is not None
    assert scale.contains(np.array(values)).all()
