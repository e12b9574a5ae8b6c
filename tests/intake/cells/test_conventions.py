import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.entities import UNKNOWN_TIME, Item, Patch, RatingScale, from_microseconds
from app.errors import InvalidInputError
from app.intake.blocks import LeftOutCell
from app.intake.column_names.columns import Kind
from app.intake.entries import read_items, read_users
from app.intake.formats import delimited
from app.intake.hints import FileHints
from app.intake.layouts import EXPORT_CARD, recognise
from app.intake.ratings import RatingReader
from app.scoring.features import describe

NOW = 1_900_000_000_000_000
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*lines: str, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


def ratings(path: Path, scale: RatingScale | None = None, **hints: Any) -> tuple[list[Any], list[str]]:
    """The ratings of a file as rows, and the reasons and texts of its rejected rows."""
    reader = RatingReader(NOW)
    rows: list[Any] = []
    rejected: list[str] = []
    for table in recognise(path, FileHints(**hints)).tables:
        for block in table.blocks():
            read = reader.read(block, scale)
            times = [None if at == UNKNOWN_TIME else from_microseconds(at) for at in read.ratings.rated_at.tolist()]
            found = read.ratings
            rows += zip(found.user_id, found.item_id, found.value.tolist(), times, strict=True)
            rejected += [f"{row.reason} | {row.row}" for row in read.rejected]
    return rows, rejected


def values(write: Write, *cells: str, scale: RatingScale | None = None, **hints: Any) -> tuple[list[float], list[str]]:
    path = write("user;item;rating", *(f"u{row};i;{cell}" for row, cell in enumerate(cells)))
    rows, rejected = ratings(path, scale, **hints)
    return [value for _, _, value, _ in rows], [row.rpartition(";")[2] for row in rejected]


def times(write: Write, *cells: str, **hints: Any) -> list[datetime | None]:
    path = write("user;item;rating;date", *(f"u{row};i;4;{cell}" for row, cell in enumerate(cells)))
    return [at for _, _, _, at in ratings(path, **hints)[0]]


def items(path: Path) -> tuple[list[Item], list[LeftOutCell]]:
    entries, left_out = [], []
    for table in recognise(path, FileHints(kind=Kind.ITEMS)).tables:
        for block in table.blocks():
            read = read_items(block)
            assert read.rejected == []
            entries += [replace(Item(patch.entry_id), **patch.values({})) for patch in read.patches]
            left_out += read.left_out
    return entries, left_out


def attributes(path: Path) -> list[dict[str, Any]]:
    return [item.attributes for item in items(path)[0]]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["4,5", "3"], [4.5, 3]),
        (["1.234,56", "1.234"], [1234.56, 1234]),
        (["1,234", "56", "345"], [1234, 56, 345]),
        (["4/5", "3.5/5", "2"], [4, 3.5, 2]),
        (["4.5 out of 5 stars", "1 out of 5 stars"], [4.5, 1]),
        (["4.5 stars", "1 star", "5\u2605"], [4.5, 1, 5]),
        (["\u2605\u2605\u2605\u2605\u2606", "\u2605\u2605\u00bd", "\u2b50\ufe0f\u2b50"], [4, 2.5, 2]),
        (["85 %", "20%", "7,5 %"], [85, 20, 7.5]),
        (["like", "Dislike"], [1, 0]),
        (["TRUE", "false"], [1, 0]),
        (["Thumbs Up", "thumbs_down"], [1, 0]),
        (["Recommended", "Not Recommended"], [1, 0]),
        (["upvote", "downvote"], [1, 0]),
        (["yes", "no"], [1, 0]),
        (["\U0001f44d", "\U0001f44e"], [1, 0]),
        (["+1", "-1"], [1, 0]),
        (["1", "-1"], [1, -1]),
        (["4.400000095367432", "3.5999999", "5.0"], [4.4, 3.6, 5]),
        (["3.3333333333", "4"], [3.3333333333, 4]),
        ([" 4 ", "\t3"], [4, 3]),
    ],
)
def test_values(write: Write, cells: list[str], expected: list[float]) -> None:
    assert values(write, *cells) == (expected, [])


@pytest.mark.parametrize("cell", ["", "NA", "N/A", "NaN", "?", "null", "None", "-", "--", "nil", r"\N", " NA "])
def test_missing_rating(write: Write, cell: str) -> None:
    assert values(write, "4", cell) == ([4], [f"value: the rating is missing | u1,i,{cell.strip()}"])


@pytest.mark.parametrize(
    ("cells", "expected", "rejected"),
    [
        (["4", "like"], [4], "value: 'like' is not a number | u1,i,like"),
        (["4/5", "3/5", "8/10"], [4, 3], "value: '8/10' is not a number | u2,i,8/10"),
        (
            ["4"] * 200 + ["1,234"],
            [4] * 200,
            "value: '1,234' has decimals or is above 999: state the decimal sign with --decimal | u200,i,\"1,234\"",
        ),
        (["yes", "maybe"], [], "value: 'yes' is not a number | u0,i,yes"),
    ],
)
def test_values_that_do_not_fit(write: Write, cells: list[str], expected: list[float], rejected: str) -> None:
    read, reasons = values(write, *cells)
    assert (read, reasons[0]) == (expected, rejected)


def test_decimal_sign_to_be_stated(write: Write) -> None:
    with pytest.raises(InvalidInputError, match=r"column value: '1,234' has decimals or is above .* --decimal"):
        values(write, "1,234", "5,678")
    assert values(write, "1,234", "5,678", decimal=",") == ([1.234, 5.678], [])
    assert values(write, "1,234", "5,678", decimal=".") == ([1234, 5678], [])


def test_opinions_beside_stated_missing(write: Write) -> None:
    path = write("user,item,rating", "u,i,like", "u,j,unknown")
    (block,) = recognise(path, FileHints(missing=frozenset({"unknown"}))).tables[0].blocks()
    read = RatingReader(NOW, frozenset({"unknown"})).read(block)
    assert (read.ratings.value.tolist(), read.n_set_aside, read.rejected) == ([1], 1, [])


def test_opinions_are_no_stars(write: Write) -> None:
    read, rejected = values(write, "like", "dislike", scale=RatingScale(1, 5, 1))
    assert (read, rejected[0]) == ([], "value: is no grade, and values here are 1:5:1 | u0,i,like")
    assert values(write, "like", "dislike", scale=RatingScale.parse("binary")) == ([1, 0], [])


def test_flags_of_json(write: Write) -> None:
    flags = [json.dumps({"user": "u", "item": str(n), "rating": flag}) for n, flag in enumerate([True, False])]
    assert [row[2] for row in ratings(write(*flags, name="a.jsonl"))[0]] == [1, 0]
    mixed = [*flags, json.dumps({"user": "u", "item": "x", "rating": 4})]
    rows, rejected = ratings(write(*mixed, name="b.jsonl"))
    assert ([row[2] for row in rows], rejected[0]) == ([4], "value: 'True' is not a number | u,0,True")


@pytest.mark.parametrize(
    ("header", "row", "ids"),
    [
        ("user_id, item_id, rating", "ann, 1, 4", ("ann", "1")),
        ("user_id,item_id,rating", "1.0,7.00,4", ("1", "7")),
        ("user_id,item_id,rating", "1,007,4", ("1", "007")),
        ("user_id,item_id,rating", "1.5,v1.0,4", ("1.5", "v1.0")),
    ],
)
def test_ids(write: Write, header: str, row: str, ids: tuple[str, str]) -> None:
    assert ratings(write(header, row)) == ([(*ids, 4.0, None)], [])


def test_ids_of_one_column(write: Write) -> None:
    """An integer is one id however pandas wrote it, and a version number stays as it is."""
    rows, _ = ratings(write("user_id,item_id,rating", "1.0,1.0,4", "2,1.10,3"))
    assert [row[:2] for row in rows] == [("1", "1.0"), ("2", "1.10")]
    floats = [json.dumps({"user": 1.0, "item": item, "rating": 4}) for item in (2.0, 3)]
    assert [row[:2] for row in ratings(write(*floats, name="a.jsonl"))[0]] == [("1", "2"), ("1", "3")]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (
            "1.23E+15",
            "user_id: '1.23E+15' is no id: a spreadsheet cut its digits; export the column as text",
        ),
        ("NaN", "user_id: 'NaN' stands for a missing id"),
    ],
)
def test_no_ids(write: Write, cell: str, reason: str) -> None:
    assert ratings(write("user_id,item_id,rating", f"{cell},x,4"))[1] == [f"{reason} | {cell},x,4"]


DAY = datetime(2015, 3, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["13/03/2015", "03/04/2015"], [DAY, datetime(2015, 4, 3, tzinfo=UTC)]),
        (["03/13/2015", "03/04/2015 8:26 PM"], [DAY, datetime(2015, 3, 4, 20, 26, tzinfo=UTC)]),
        (["2015-03-13", "13/03/2015", "13 Mar 2015", "NA", ""], [DAY, DAY, DAY, None, None]),
        (["31/12/14"], [datetime(2014, 12, 31, tzinfo=UTC)]),
        (["2019-10-01 00:00:00 UTC"], [datetime(2019, 10, 1, tzinfo=UTC)]),
        (["20150313", "19991231"], [DAY, datetime(1999, 12, 31, tzinfo=UTC)]),
        (["2015", "1999"], [datetime(2015, 1, 1, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC)]),
        (["2015.0", "1999.0"], [datetime(2015, 1, 1, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC)]),
        (["2015", "1426204800"], [datetime(1970, 1, 1, 0, 33, 35, tzinfo=UTC), DAY]),
        (["20150313", "20151345"], [from_microseconds(20150313000000), from_microseconds(20151345000000)]),
        (["1426204800"], [DAY]),
    ],
)
def test_times(write: Write, cells: list[str], expected: list[datetime | None]) -> None:
    assert times(write, *cells) == expected


def test_order_to_be_stated(write: Write) -> None:
    with pytest.raises(InvalidInputError, match=r"table\.csv, column rated_at: .* --date-format %d/%m/%Y or "):
        times(write, "12/1/2010 8:26")
    assert times(write, "12/1/2010 8:26", date_format="%m/%d/%Y") == [datetime(2010, 12, 1, 8, 26, tzinfo=UTC)]
    assert times(write, "03/13/2015", "13/03/2015", date_format="%d/%m/%Y") == [DAY]
    with pytest.raises(InvalidInputError, match="no value fits --date-format, for instance '12/1/2010'"):
        times(write, "12/1/2010", date_format="%Y.%m.%d")


def test_ambiguous_file_in_a_folder(write: Write) -> None:
    """A file whose dates are not clear is not left out like one of an unknown layout."""
    write("item_id,title", "1,Heat", name="d/items.csv")
    path = write("user,item,rating,date", "a,x,4,03/04/2015", name="d/ratings.csv")
    with pytest.raises(InvalidInputError, match=r"ratings\.csv, column rated_at"):
        recognise(path.parent)


def test_order_found_in_a_later_block(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "ROWS_PER_BLOCK", 2)
    assert times(write, *["03/04/2015"] * 5, "13/03/2015")[-1] == DAY
    assert values(write, *["1,234"] * 5, "4,5")[0] == [1.234] * 5 + [4.5]


def test_years_that_are_none(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the values that were looked at, a number is not read as seconds since 1970 in a column of years."""
    monkeypatch.setattr(delimited, "ROWS_PER_BLOCK", 2)
    _, rejected = ratings(write("user,item,rating,date", "u,i,4,2015", "u,j,4,2016", "u,k,4,17"))
    assert [row.partition(":")[2][:22] for row in rejected] == [" '17 (not a year)' is "]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["\"[{'id': 16, 'name': 'Animation'}]\""], [("Animation",)]),
        (['"[""A"", ""B""]"', "A"], [("A", "B"), ("A",)]),
        (["A|B", '"Drama, TV"'], [("A", "B"), ("Drama, TV",)]),
        (['"A, B"', "A"], [("A", "B"), ("A",)]),
        (["A;B", "A"], [("A", "B"), ("A",)]),
        (['"[A, B]"', '"{A,B}"'], [("A", "B"), ("A", "B")]),
        (["A > B > C", "A"], [("A", "B", "C"), ("A",)]),
        (["NA", " A "], [(), ("A",)]),
        (["A", ""], [("A",), ()]),
    ],
)
def test_categories(write: Write, cells: list[str], expected: list[tuple[str, ...]]) -> None:
    found, left_out = items(write("item_id,genres", *(f"{row},{cell}" for row, cell in enumerate(cells))))
    assert ([item.categories for item in found], left_out) == (expected, [])


def test_categories_of_json(write: Write) -> None:
    rows = [
        {"item_id": "1", "genres": [{"id": 16, "name": "Animation"}]},
        {"item_id": "2", "genres": [["A", "B"], ["A"]]},
    ]
    found, _ = items(write(*map(json.dumps, rows), name="items.jsonl"))
    assert [item.categories for item in found] == [("Animation",), ("A", "B")]


@pytest.mark.parametrize(
    ("cell", "year"), [("1995", 1995), ("1995.0", 1995), ("1995-11-22", 1995), ("22/11/1995", None), ("NA", None)]
)
def test_year(write: Write, cell: str, year: int | None) -> None:
    (item,), left_out = items(write("item_id,year", f"1,{cell}"))
    assert (item.year, len(left_out)) == (year, cell == "22/11/1995")


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        *(("year", cell, f"'{cell}' is not a year") for cell in ("unknown", "1999-2001", "c. 1920", "DK Inc")),
        ("year", "0", "'0 (no year)' is not a year"),
        ("categories", "[oops", "'[oops' is not a list"),
        ("added_at", "soon", "'soon' is not a time: use epoch seconds or ISO 8601, or state"),
        ("available_until", "31.02.2020", "'31.02.2020' is not a time"),
        ("url", "/films/1", "'/films/1': a URL must begin with"),
        ("description", "x" * 10_001, "'xxx"),
        ("attributes", "[1]", "[1] is not a JSON object"),
    ],
)
def test_odd_cell_keeps_the_item(write: Write, column: str, cell: str, reason: str) -> None:
    path = write(f"item_id,title,{column}", f"1,Heat,{cell}")
    found, (left_out,) = items(path)
    assert found == [Item("1", "Heat")]
    assert (left_out.file, left_out.line, left_out.column) == ("table.csv", 2, column)
    assert left_out.reason.startswith(reason)


def test_texts(write: Write) -> None:
    found, _ = items(write("item_id,title,description", "1, Heat ,NaN", "2,null,?", r"3,\N,-"))
    assert [(item.title, item.description) for item in found] == [("Heat", None), (None, "?"), (None, "-")]
    (block,) = recognise(write("user_id,country", "a,NA", "b,N/A")).tables[0].blocks()
    assert read_users(block).patches == [Patch("a", {"country": "NA"}), Patch("b")]


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("price", ["12.5", "3", "NA"], [12.5, 3.0, None]),
        ("pages", ["12", "-3", "?"], [12, -3, None]),
        ("price", ['"4,5"', '"1.234,50"'], [4.5, 1234.5]),
        ("plays", ['"1,234"', "345"], [1234, 345]),
        ("price", ["4.400000095367432", "1"], [4.4, 1.0]),
        ("small", ["1.5e-05", "2"], [1.5e-05, 2.0]),
        ("price", ['"1,234"', '"5,678"'], ["1,234", "5,678"]),
        ("price", ["12", "12 EUR"], ["12", "12 EUR"]),
        ("price", ["$12.99", "$3"], ["$12.99", "$3"]),
        ("area", ["02139", "10001"], ["02139", "10001"]),
        ("zip_code", ["10001", "10002"], ["10001", "10002"]),
        ("tmdbId", ["862", "863"], ["862", "863"]),
        ("ISBN-13", ["9780306406157"], ["9780306406157"]),
        ("countryCode", ["47"], ["47"]),
        ("big", ["9007199254740993", "1"], ["9007199254740993", "1"]),
        ("contact", ["+4712345678"], ["+4712345678"]),
        ("contact", ["123 456 789"], ["123 456 789"]),
        ("hash", ["12e4", "34e5"], ["12e4", "34e5"]),
        ("huge", ["1e+999"], ["1e+999"]),
        ("flag", ["true", "False", ""], [True, False, None]),
        ("flag", ["true", "unknown"], ["true", "unknown"]),
        ("bit", ["0", "1"], [0, 1]),
        ("day", ["2015-01-01", "2016-01-01"], ["2015-01-01", "2016-01-01"]),
        ("tags", ["\"['a', 'b']\"", "[]"], [["a", "b"], []]),
        ("tags", ["\"['a', 'b']\"", "a"], ["['a', 'b']", "a"]),
        ("nothing", ["", "NA"], [None, None]),
    ],
)
def test_attributes(write: Write, name: str, cells: list[str], expected: list[Any]) -> None:
    read = attributes(write(f"item_id,{name}", *(f"{row},{cell}" for row, cell in enumerate(cells))))
    found = [row.get(name) for row in read]
    assert [(type(each), each) for each in found] == [(type(each), each) for each in expected]


def test_one_type_in_a_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "ROWS_PER_BLOCK", 2)
    path = write("item_id,price,size", *(f"{row},{row},{row}" for row in range(5)), "5,5.5,large")
    assert [row["price"] for row in attributes(path)] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.5]
    assert [row["size"] for row in attributes(path)] == ["0", "1", "2", "3", "4", "large"]


def test_numbers_alike_in_csv_and_json(write: Write) -> None:
    prices = np.random.default_rng(0).uniform(0, 100, 50).round(1).tolist()
    csv_items, _ = items(write("item_id,price", *(f"i{row},{price}" for row, price in enumerate(prices))))
    rows = [json.dumps({"item_id": f"i{row}", "price": price}) for row, price in enumerate(prices)]
    json_items, _ = items(write(*rows, name="items.jsonl"))
    assert csv_items == json_items
    (of_csv, encodings), (of_json, _) = describe(csv_items, []), describe(json_items, [])
    assert encodings.items.kinds["price"] == "number"
    np.testing.assert_array_equal(of_csv.items.toarray(), of_json.items.toarray())


def test_attributes_of_json(write: Write) -> None:
    row = {
        "item_id": "1",
        "digits": "12",
        "single": 4.400000095367432,
        "tags": [1, "x"],
        "parking": {"garage": False, "street": True},
        "none": None,
        "attributes": {"hours": {"Monday": "8-22"}, "seats": 4},
    }
    found, left_out = items(write(json.dumps(row), name="items.jsonl"))
    assert found[0].attributes == {"digits": "12", "single": 4.4, "tags": ["1", "x"], "parking": ["street"], "seats": 4}
    assert [(cell.column, cell.reason) for cell in left_out] == [("hours", "\"{'Monday': '8-22'}\" has no name")]


def test_export_is_read_exactly(write: Write) -> None:
    write('{"scale": "1:5"}', name=f"d/{EXPORT_CARD}")
    write("item_id,title,categories", "NA, Heat ,NA", '1.0,null,"A, B"', name="d/items.csv")
    path = write("user_id,item_id,value", "?,1.0,4.400000095367432", "1E+15,NA,4", name="d/ratings.csv")
    tables = recognise(path.parent).tables
    (item_block,), (rating_block,) = (list(table.blocks()) for table in tables)
    assert read_items(item_block).patches == [
        Patch("NA", {"title": " Heat ", "categories": ("NA",)}),
        Patch("1.0", {"title": "null", "categories": ("A, B",)}),
    ]
    read = RatingReader(NOW).read(rating_block).ratings
    assert (read.user_id, read.item_id, read.value.tolist()) == (
        ["?", "1E+15"],
        ["1.0", "NA"],
        [4.400000095367432, 4.0],
    )


def test_rejected_rows_as_in_the_file(write: Write) -> None:
    path = write("user;item;rating;date", "u;i;4,5;13/03/2015", "u;;3,5;14/03/2015")
    assert ratings(path)[1] == ['item_id: an id must have 1 to 128 characters, not 0 | u,,"3,5",14/03/2015']
