"""What the values of a column look like."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from app.intake.recognition.looks import Look, count_repeats, look_of, may_be_ids


@pytest.mark.parametrize(
    ("look", "values"),
    [
        (Look.EMPTY, ["", None, "NA", " ", "?"]),
        (Look.MOMENT, ["1260759144", "1445714994"]),
        (Look.MOMENT, [1588687728923, 1588687728924]),
        (Look.MOMENT, ["2020-01-01 10:00", "2020-01-02T11:00:00Z"]),
        (Look.MOMENT, ["Tue Apr 03 18:00:09 +0000 2012", "12/1/2010 8:26"]),
        (Look.MOMENT, [datetime(2020, 1, 1, tzinfo=UTC)]),
        (Look.DATE, ["2020-01-01", "2021-05-05"]),
        (Look.DATE, ["09 13, 2009", "13/03/2015", "3 Oct 2019"]),
        (Look.DATE, ["20150313", "20160401"]),
        (Look.DATE, [date(2020, 1, 1)]),
        (Look.FLAG, ["true", "False"]),
        (Look.FLAG, ["0", "1"]),
        (Look.GRADE, ["4", "4.5", "", "5"]),
        (Look.GRADE, ["4,5", "3"]),
        (Look.GRADE, ["4.5 stars", "3 stars"]),
        (Look.OPINION, ["like", "dislike"]),
        (Look.INTEGER, ["541312140", "712", "18"]),
        (Look.INTEGER, ["690000000", "541312140"]),
        (Look.COUNTER, ["1", "2", "3"]),
        (Look.NUMBER, ["12.99", "3.49"]),
        (Look.CODE, ["u17", "u18", "u17"]),
        (Look.CODE, ["SKU-0001", "SKU-0002"]),
        (Look.CODE, ["3fa85f64-5717-4562-b3fc-2c963f66afa6", "7"]),
        (Look.ACTION, ["view", "addtocart", "view"]),
        (Look.TEXT, ["red", "light blue"]),
        (Look.TEXT, ["Heat (1995)", "1984"]),
        (Look.NESTED, [{"a": 1}, ["b"]]),
    ],
)
def test_looks(look: Look, values: list[Any]) -> None:
    assert look_of(values) is look


def test_a_few_mistakes_do_not_count() -> None:
    assert look_of(["5"] * 99 + ["five"]) is Look.GRADE
    assert look_of(["5"] * 9 + ["five"]) is Look.TEXT


@pytest.mark.parametrize(
    ("values", "may"),
    [(["a", "b"], True), (["1", "0"], True), ([], True), (["True", "False"], False), (["1.5"], False), ([[1]], False)],
)
def test_may_be_ids(values: list[Any], may: bool) -> None:
    assert may_be_ids(values) is may


def test_repeats() -> None:
    assert count_repeats(["a", "b", "a", "a", "", ""]) == 2
