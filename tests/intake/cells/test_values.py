import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.entities import UNKNOWN_TIME, from_microseconds, to_microseconds
from app.errors import InvalidInputError
from app.intake.cells.values import Verbatim, read_id, read_number, read_rating, read_time

MOMENT = datetime(2009, 12, 14, 2, 52, 24, tzinfo=UTC)
MICROSECONDS = to_microseconds(MOMENT)


@pytest.mark.parametrize(
    "value",
    [
        "1260759144",
        1260759144,
        "1260759144.0",
        "1260759144000",
        1260759144000000,
        "1260759144000000000",
        "2009-12-14T02:52:24Z",
        "2009-12-14 02:52:24",
        "2009-12-14T03:52:24+01:00",
        "2009-12-14T02:52:24.000000+00:00",
        MOMENT,
        MOMENT.replace(tzinfo=None),
        MOMENT.astimezone(timezone(timedelta(hours=-5))),
    ],
)
def test_one_moment(value: Any) -> None:
    assert read_time(value) == MICROSECONDS


@pytest.mark.parametrize("value", [None, "", "NA", " NaT ", "null", "-", math.nan])
def test_unknown_time(value: Any) -> None:
    assert read_time(value) == UNKNOWN_TIME


def test_date_alone() -> None:
    assert from_microseconds(read_time("2009-12-14")) == datetime(2009, 12, 14, tzinfo=UTC)
    assert read_time(date(2009, 12, 14)) == read_time("2009-12-14")


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "inf",
        "1e400",
        2**63,
        str(2**63),
        "-99999999999",
        True,
        [],
        "2009-13-01",
        "0001-01-01T00:00+23:00",
    ],
)
def test_no_time(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="not a"):
        read_time(value)


@given(st.datetimes(timezones=st.just(UTC)))
def test_iso_is_exact(moment: datetime) -> None:
    assert from_microseconds(read_time(moment.isoformat())) == moment


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_exact(number: float) -> None:
    assert read_number(repr(number), "value") == number
    assert read_number(number, "value") == number


@pytest.mark.parametrize(
    "value",
    ["", "good", "nan", "NaN", "inf", "-Infinity", "1_000", "0x1", "4,5", "\u0664", None, True, [4], math.nan, 10**400],
)
def test_no_number(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="number"):
        read_number(value, "value")


@pytest.mark.parametrize("value", [2**63, "9223372036854775808", "1e308", -2e16])
def test_no_rating(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="is not a rating"):
        read_rating(value)


@pytest.mark.parametrize("value", ["", "a" * 10_000, "nul\0", "\ud800", "a/b", "NaN", "1.2E+15", None, 1.5, True, {}])
def test_no_id(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="id"):
        read_id(value, "user_id")


def test_ids() -> None:
    assert read_id(7, "user_id") == "7"
    assert read_id("e\u0301", "user_id") == "\u00e9"
    assert read_id("=1+1", "item_id") == "=1+1"
    assert read_id(" a b\t", "item_id") == "a b"
    assert read_id("1E+5", "item_id") == "1E+5"
    assert type(read_id(Verbatim("NaN"), "item_id")) is str
