"""Which values of each scale can be entered, and how."""

import pytest

from app.console.rating_inputs import rating_input
from app.entities import RatingScale


@pytest.mark.parametrize(
    ("scale", "kind", "values"),
    [
        ("1:5", "stars", "1 2 3 4 5"),
        ("1:5:1", "stars", "1 2 3 4 5"),
        ("0.5:2:0.5", "stars", "0.5 1 1.5 2"),
        ("0:10:1", "stars", "0 1 2 3 4 5 6 7 8 9 10"),
        ("0:1:1", "thumbs", "1 0"),
        ("0:1", "thumbs", "1 0"),
        ("binary", "thumbs", "1 0"),
        ("pairs", "choose", "1"),
        ("-10:10", "number", ""),
        ("0:100", "number", ""),
        ("1:1.5", "number", ""),
        ("amounts", "number", ""),
    ],
)
def test_kinds(scale: str, kind: str, values: str) -> None:
    made = rating_input(RatingScale.parse(scale))
    assert (made.kind, " ".join(each.value for each in made.choices)) == (kind, values)
    accepted = RatingScale.parse(scale)
    assert [accepted.check(float(each.value)) for each in made.choices] == [float(each.value) for each in made.choices]


def test_halves() -> None:
    parts = [each.part for each in rating_input(RatingScale.parse("0.5:1.5:0.5")).choices]
    assert parts == ["left", "right", "left"]
    # A scale that begins with a whole star has no half of it.
    assert [each.part for each in rating_input(RatingScale.parse("1:2:0.5")).choices] == ["", "left", "right"]


@pytest.mark.parametrize(
    ("scale", "minimum", "maximum", "step"),
    [("0:100", "0", "100", "any"), ("-10:10:0.25", "-10", "10", "0.25"), ("amounts", "0", "", "any")],
)
def test_numbers(scale: str, minimum: str, maximum: str, step: str) -> None:
    made = rating_input(RatingScale.parse(scale))
    assert (made.minimum, made.maximum, made.step) == (minimum, maximum, step)
