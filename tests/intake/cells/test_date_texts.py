from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.errors import InvalidInputError
from app.intake.cells.date_texts import Order, OrderEvidence, StatedFormat, parse_moment, parse_ordered

MOMENT = datetime(2010, 12, 1, 20, 26, 5, tzinfo=UTC)
DAY = datetime(2010, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2010-12-01 20:26:05 UTC",
        "2010-12-01 20:26:05 GMT",
        "2010-12-01 22:26:05 +0200",
        "2010-12-01T15:26:05-05",
        "2010/12/1 20:26:05",
        "2010.12.01 20:26:05",
        "01.12.2010 20:26:05",
        "1-Dec-2010 8:26:05 PM",
        "01-Dec-10 08:26:05pm",
        "01DEC2010:20:26:05",
        "01/Dec/2010:20:26:05 +0000",
        "December 1st, 2010 at 8:26:05 p.m.",
        "Dec 1, 2010, 20:26:05",
        "Wed, 01 Dec 2010 20:26:05 GMT",
        "Wed Dec 01 20:26:05 +0000 2010",
        "Wed Dec  1 20:26:05 2010",
        "Wed Dec 01 2010 22:26:05 GMT+0200 (Eastern European Time)",
    ],
)
def test_one_moment(text: str) -> None:
    assert parse_moment(text, "at") == MOMENT


@pytest.mark.parametrize(
    "text",
    [
        "2010/12/01",
        "01.12.2010",
        "1.12.10",
        "1 Dec 2010",
        "12 1, 2010",
        "2010-Dec-01",
        "Dec. 1 2010",
    ],
)
def test_one_day(text: str) -> None:
    assert parse_moment(text, "at") == DAY


@pytest.mark.parametrize(
    "text",
    [
        *("soon", "", "31.02.2010", "2010/13/01", "01-Foo-2010", "01.12.2010 24:30", "01.12.2010 10:60"),
        *("01.12.2010 13:00 PM", "01.12.2010 10", "01/12/2010", "13/03/2015", "1.12.2010.", "2010/12/01 10:00 +99:99"),
    ],
)
def test_no_moment(text: str) -> None:
    assert parse_moment(text, "at") is None


def test_named_zone() -> None:
    with pytest.raises(InvalidInputError, match="'EST' is not known: use UTC or an offset"):
        parse_moment("2010-12-01 20:26 EST", "at")


@pytest.mark.parametrize(
    ("text", "order", "moment"),
    [
        ("12/1/2010 8:26", "month", datetime(2010, 12, 1, 8, 26, tzinfo=UTC)),
        ("12/1/2010 8:26 PM", "day", datetime(2010, 1, 12, 20, 26, tzinfo=UTC)),
        ("12/31/10", "month", datetime(2010, 12, 31, tzinfo=UTC)),
        ("98-12-31", "year", datetime(1998, 12, 31, tzinfo=UTC)),
        ("12/31/2010", "day", None),
        ("12/12/2010 noon", "day", None),
    ],
)
def test_in_order(text: str, order: Order, moment: datetime | None) -> None:
    assert parse_ordered(text, order, "at") == moment


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["03/04/2015", "13/04/2015"], "day"),
        (["03/04/2015 10:00", "03-13-2015 8:26 PM"], "month"),
        (["12/13/10"], "month"),
        (["10/12/12", "10/31/99"], "month"),
        (["98/12/31"], "year"),
        (["05/05/2015"], "day"),
        (["13/03/2015", "45/45/2015"], "day"),
        (["2015-03-13", "soon"], None),
    ],
)
def test_order_of_a_column(texts: list[str], order: Order | None) -> None:
    evidence = OrderEvidence()
    evidence.add(texts)
    assert (evidence.order("f.csv", "at"), evidence.is_undecided) == (order, texts == ["05/05/2015"])


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (
            ["03/04/2015"],
            "column at: the order of day and month in '03/04/2015' does not follow from its values: state it with",
        ),
        (["03/04/2015"], "f.csv, column at: "),
        (["03/04/2015"], "--date-format %d/%m/%Y or --date-format %m/%d/%Y"),
        (["25/12/14"], "--date-format %d/%m/%y or --date-format %y/%m/%d"),
        (["13/03/2015", "03/13/2015"], "'13/03/2015' and '03/13/2015' have day and month in different orders"),
    ],
)
def test_order_to_be_stated(texts: list[str], reason: str) -> None:
    evidence = OrderEvidence()
    evidence.add(texts)
    with pytest.raises(InvalidInputError) as caught:
        evidence.order("f.csv", "at")
    assert reason in str(caught.value)
    assert "--date-format" in str(caught.value)


def test_future_decides() -> None:
    evidence = OrderEvidence(latest=date(2020, 1, 1))
    evidence.add(["25/12/14"])
    assert evidence.order("f.csv", "at") == "day"


DATES = st.dates(date(1970, 1, 1), date(2068, 12, 31))


@given(
    st.lists(DATES, min_size=1, max_size=5),
    st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m/%d/%y", "%d/%m/%y", "%y/%m/%d"]),
)
def test_never_another_day(days: list[date], format_: str) -> None:
    """A column in one format is read as its days, or must be stated."""
    evidence = OrderEvidence()
    evidence.add([f"{day:{format_}}" for day in days])
    try:
        order = evidence.order("f.csv", "at")
    except InvalidInputError:
        assume(False)
    for day in days:
        moment = order and parse_ordered(f"{day:{format_}}", order, "at")
        assert moment is not None
        assert moment.date() == day


@given(
    st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31)),  # noqa: DTZ001  the zone is drawn below
    st.sampled_from(["%Y/%m/%d %H:%M:%S.%f", "%d.%m.%Y %H:%M:%S.%f", "%d-%b-%Y %I:%M:%S.%f %p", "%B %d, %Y %T,%f"]),
    st.integers(-11, 11),
)
def test_formats_are_exact(moment: datetime, format_: str, hours: int) -> None:
    moment = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    assert parse_moment(f"{moment:{format_}} {hours:+03d}:00", "at") == moment


@pytest.mark.parametrize(
    ("format_", "text", "moment"),
    [
        ("%d/%m/%Y", "01/12/2010", DAY),
        ("%d/%m/%Y", "01/12/2010 20:26:05", MOMENT),
        ("%d/%m/%Y", "01/12/2010 8:26:05 PM", MOMENT),
        ("%d/%m/%Y %H:%M:%S %z", "01/12/2010 22:26:05 +0200", MOMENT),
        ("%d/%m/%Y", "2010-12-01", None),
        ("%q", "01/12/2010", None),
    ],
)
def test_stated_format(format_: str, text: str, moment: datetime | None) -> None:
    assert StatedFormat(format_).parse(text, "at") == moment
