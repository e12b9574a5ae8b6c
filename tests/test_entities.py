"""The rating scale and ids."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.entities import RatingScale, clean_id
from app.errors import InvalidInputError


@pytest.mark.parametrize(
    ("text", "liked_from"),
    [
        *[("1:5", 4.0), ("1:5:1", 4.0), ("0.5:5:0.5", 4.0), ("1:10:1", 8.0), ("0:1", 0.75), ("-10:10", 5.0)],
        *[("0:1:1", 1.0), ("binary", 1.0), ("pairs", 1.0), ("amounts", 0.0), ("stars 1:5:1", 4.0)],
    ],
)
def test_liked_from(text: str, liked_from: float) -> None:
    assert RatingScale.parse(text).liked_from == liked_from


@given(minimum=st.floats(-5e8, 5e8), width=st.floats(1e-3, 5e8), step=st.one_of(st.none(), st.floats(1e-3, 10)))
def test_text_round_trip(minimum: float, width: float, step: float | None) -> None:
    scale = RatingScale(minimum, minimum + width, step)
    assert RatingScale.parse(str(scale)) == scale


@pytest.mark.parametrize(
    "text",
    [
        *["", "1", "1:x", "5:1", "1:1", "nan:5", "1:inf", "1:5:0", "1:5:-1", "1:5:1:1", "1:5:nan", "0:1e10"],
        *["stars", "stars binary", "amounts 0:1", "binary binary", "Pairs"],
    ],
)
def test_not_a_scale(text: str) -> None:
    with pytest.raises(InvalidInputError):
        RatingScale.parse(text)


def test_steps() -> None:
    scale = RatingScale.parse("0.5:5:0.5")
    values = np.array([0.5, 0.7, 3, 5, 5.5, 0, math.nan, math.inf, 4.5000000001])
    assert scale.contains(values).tolist() == [True, False, True, True, False, False, False, False, True]


@pytest.mark.parametrize(
    ("kind", "accepted"),
    [
        ("binary", [False, True, False, True, False, False, False, False]),
        ("pairs", [False, False, True, True, True, True, False, False]),
        ("amounts", [False, True, True, True, True, False, False, False]),
    ],
)
def test_values_of_a_kind(kind: str, accepted: list[bool]) -> None:
    scale = RatingScale.parse(kind)
    assert (str(scale), RatingScale.parse(str(scale))) == (kind, scale)
    values = np.array([-1, 0, 0.5, 1, 352_698, 1e300, math.nan, math.inf])
    assert scale.contains(values).tolist() == accepted
    assert scale.check(1.0) == 1.0
    for value in values[~np.array(accepted)].tolist():
        with pytest.raises(InvalidInputError, match="is not"):
            scale.check(value)
    # Whatever pairs come with is stored as 1.
    assert scale.stored(np.array([2.5, 1])).tolist() == ([1, 1] if kind == "pairs" else [2.5, 1])
    assert set(scale.of_labels) == ({-1.0, 0.0} if kind == "amounts" else {0.0, 1.0})


@given(st.text(max_size=140))
def test_clean_id_is_stable(text: str) -> None:
    """What is accepted is accepted again, unchanged; everything else is refused in our words."""
    try:
        cleaned = clean_id(text)
    except InvalidInputError:
        return
    assert clean_id(cleaned) == cleaned
    assert 1 <= len(cleaned) <= 128
    assert "/" not in cleaned
