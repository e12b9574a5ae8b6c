import pytest

from app.errors import InvalidInputError
from app.intake.column_names.columns import Kind
from app.intake.hints import Shape, parse_kind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, (None, None)),
        ("users", (Kind.USERS, None)),
        (" Event types ", (Kind.EVENT_TYPES, None)),
        ("matrix", (None, Shape.MATRIX)),
        ("counted-lists", (None, Shape.COUNTED_LISTS)),
    ],
)
def test_kind(text: str | None, expected: tuple[Kind | None, Shape | None]) -> None:
    assert parse_kind(text) == expected


def test_unknown_kind() -> None:
    with pytest.raises(
        InvalidInputError, match=r"--kind 'people' is none of placements, .*, users, .*, item-matrix, lists"
    ):
        parse_kind("people")
