import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.intake.cells.number_texts import (
    AS_PROGRAMS_WRITE,
    COMMA,
    POINT,
    DecimalEvidence,
    DecimalSign,
    is_unclear,
    plain_form,
    rough_number,
    without_float32_noise,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4", 4),
        ("-1.5e3", -1500),
        ("\u22124", -4),
        ("4,5", 4.5),
        ("0,125", 0.125),
        (",5", 0.5),
        ("1234,567", 1234.567),
        ("1,5E+3", 1500),
        ("1.234,56", 1234.56),
        ("1,234.56", 1234.56),
        ("1,234.", 1234),
        ("1.234.567", 1234567),
        ("1,234,567", 1234567),
        ("12,34,567.5", 1234567.5),
        ("1 234", 1234),
        ("1\u00a0234\u00a0567,5", 1234567.5),
        ("1\u202f234,567", 1234.567),
        ("1'234.50", 1234.5),
        ("1.234", 1.234),
    ],
)
def test_one_reading(text: str, number: float) -> None:
    plain = plain_form(text)
    assert plain is not None
    assert float(plain) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4,",
        "1,23,45",
        "1.23.456",
        "1,2345.6",
        "0,123,456",
        "1 23",
        "1 234'567",
        "12,3456,789",
        "4.5.6",
        "1_000",
        "x",
    ],
)
def test_no_number(text: str) -> None:
    assert plain_form(text) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,234", 1.234), ("-.5e3", -500.0), ("4.", 4.0), ("1.234,5", None), ("nan", None), ("\u0664", None), ("", None)],
)
def test_rough_number(text: str, number: float | None) -> None:
    assert rough_number(text) == number


@pytest.mark.parametrize(
    ("sign", "comma", "point"),
    [(AS_PROGRAMS_WRITE, None, "1.234"), (POINT, "1234", "1.234"), (COMMA, "1.234", "1234")],
)
def test_three_digits_follow_the_column(sign: DecimalSign, comma: str | None, point: str | None) -> None:
    assert (plain_form("1,234", sign), plain_form("1.234", sign)) == (comma, point)
    assert is_unclear("1,234", sign) == (comma is None)


@pytest.mark.parametrize(
    ("texts", "sign"),
    [
        (["1,234", "4.5"], POINT),
        (["1,234", "1,234,567"], POINT),
        (["1,234", "1,234.5"], POINT),
        (["1,234", "1 234.5"], POINT),
        (["1,234", "56", "345"], POINT),
        (["1,234", "4,5"], COMMA),
        (["1,234", "0,125"], COMMA),
        (["1,234", "1.234,5"], COMMA),
        (["1,234", "1 234,5"], COMMA),
        (["1,234", "1.234.567"], COMMA),
        (["4,5", *["4.5"] * 200], POINT),
        (["4", "5"], AS_PROGRAMS_WRITE),
        (["1.234", "5"], AS_PROGRAMS_WRITE),
    ],
)
def test_sign_of_a_column(texts: list[str], sign: DecimalSign) -> None:
    evidence = DecimalEvidence()
    evidence.add({text: texts.count(text) for text in texts})
    assert (evidence.sign, evidence.is_undecided) == (sign, False)


@pytest.mark.parametrize(
    "texts", [["1,234"], ["1,234", "56"], ["33,333", "100"], ["1,234", "1234"], ["1,234", "4,5", "4.5"]]
)
def test_sign_undecided(texts: list[str]) -> None:
    evidence = DecimalEvidence()
    evidence.add(dict.fromkeys(texts, 1))
    assert evidence.is_undecided


WHOLE = st.integers(0, 10**9)
DECIMALS = st.from_regex(r"[0-9]{1,4}", fullmatch=True)


@given(
    st.lists(st.tuples(WHOLE, DECIMALS | st.just("")), min_size=1, max_size=6),
    st.sampled_from([(",", "."), (".", ","), (" ", ",")]),
)
def test_never_another_number(parts: list[tuple[int, str]], signs: tuple[str, str]) -> None:
    """A column with decimals in one notation is read as its numbers, or not at all."""
    assume(any(len(decimals) not in {0, 3} for _, decimals in parts))
    group, decimal = signs
    numbers = {}
    for whole, decimals in parts:
        text = f"{whole:,}".replace(",", group) + (decimal + decimals if decimals else "")
        numbers[text] = float(f"{whole}.{decimals or 0}")
    evidence = DecimalEvidence()
    evidence.add(dict.fromkeys(numbers, 1))
    for text, number in numbers.items():
        plain = plain_form(text, evidence.sign)
        assert plain is not None
        assert float(plain) == number


@pytest.mark.parametrize(
    ("noisy", "number"),
    [
        (4.400000095367432, 4.4),
        (3.5999999, 3.6),
        (4.4000001, 4.4),
        (-0.10000000149011612, -0.1),
        (19.989999771118164, 19.99),
        (0.333333333, 0.333333333),
        (99999.99999, 99999.99999),
        (2.50000001, 2.50000001),
        (3.14159265, 3.14159265),
        (123456789.0, 123456789.0),
        (4.4, 4.4),
        (1e300, 1e300),
        (0.0, 0.0),
    ],
)
def test_noise_of_single_precision(noisy: float, number: float) -> None:
    assert without_float32_noise(noisy) == number


@given(st.integers(1, 99_999), st.integers(0, 3))
def test_single_precision_of_short_numbers(digits: int, decimals: int) -> None:
    number = digits / 10**decimals
    assert without_float32_noise(float(np.float32(number))) == number


@given(st.floats(allow_nan=False))
def test_noise_is_small(number: float) -> None:
    assert without_float32_noise(number) == pytest.approx(number, rel=1e-6)
