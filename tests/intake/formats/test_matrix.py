import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.errors import InvalidInputError
from app.intake import blocks
from app.intake.blocks import InputTable
from app.intake.column_names.columns import Columns, Kind
from app.intake.file_ratings import load_file
from app.intake.files.listing import input_files
from app.intake.formats.matrix import open_matrix
from app.intake.hints import NO_HINTS, FileHints, Shape
from app.intake.layouts import recognise

FILMS = ["Heat", "Alien", "Up", "Jaws", "Brazil", "Ran", "M", "Big"]
GRADES = [
    ["ann", "5", "", "3", "", "", "1", "", "2"],
    ["bob", "", "4", "", "", "2", "", "", ""],
    ["cy", "1", "", "", "4.5", "", "", "3", ""],
]
STATED = FileHints(shape=Shape.MATRIX)


def lines(rows: Sequence[Sequence[str]], separator: str = ",") -> str:
    return "".join(separator.join(row) + "\n" for row in rows)


def write(tmp_path: Path, text: str, name: str = "grades.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def ratings(table: InputTable) -> list[tuple[str, str, str, int]]:
    assert (table.kind, table.has_values) == (Kind.RATINGS, True)
    return [
        row
        for block in table.blocks()
        for row in zip(*(block.column(name) for name in ("user_id", "item_id", "value")), block.lines, strict=True)
    ]


def only(path: Path, hints: FileHints = NO_HINTS) -> InputTable:
    (table,) = recognise(path, hints).tables
    return table


EXPECTED = [
    (row[0], film, grade, line)
    for line, row in enumerate(GRADES, start=2)
    for film, grade in zip(FILMS, row[1:], strict=True)
    if grade
]


@pytest.mark.parametrize("corner", ["user", "User_ID", "", "user / movie"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_users_in_rows(tmp_path: Path, corner: str, separator: str) -> None:
    table = only(write(tmp_path, lines([[corner, *FILMS], *GRADES], separator)))
    assert ratings(table) == EXPECTED
    assert table.notes == ("grades.csv: read as a matrix with users in rows and items in columns",)


@pytest.mark.parametrize(
    ("corner", "hints"),
    [
        ("film", NO_HINTS),
        ("item \\ user", NO_HINTS),
        ("film by user", NO_HINTS),
        ("x", FileHints(shape=Shape.ITEM_MATRIX)),
    ],
)
def test_items_in_rows(tmp_path: Path, corner: str, hints: FileHints) -> None:
    rows = [[film, *(row[place] for row in GRADES * 3)] for place, film in enumerate(FILMS, start=1)]
    users = [f"user{number}" for number in range(9)]
    table = only(write(tmp_path, lines([[corner, *users], *rows])), hints)
    assert ratings(table)[:3] == [("user0", "Heat", "5", 2), ("user2", "Heat", "1", 2), ("user3", "Heat", "5", 2)]
    assert "items in rows and users in columns" in table.notes[0]


def test_pivot_of_numbers(tmp_path: Path) -> None:
    """As pandas writes it: item ids in the header, nan and float values."""
    table = only(write(tmp_path, "userId,1,2,10\n7,4.0,nan,NaN\n9,,5.0,0.5\n"))
    assert ratings(table) == [("7", "1", "4.0", 2), ("9", "2", "5.0", 3), ("9", "10", "0.5", 3)]


def jester(n_rows: int, *, missing: str = "99") -> str:
    drawn = random.Random(0)  # noqa: S311  a table to read
    rows = []
    for _ in range(n_rows):
        row = [missing if drawn.random() < 0.4 else f"{drawn.uniform(-10, 10):.2f}" for _ in range(100)]
        rows.append([str(100 - row.count(missing)), *row])
    return lines(rows)


@pytest.mark.parametrize("missing", ["99", "", "#N/A", "--"])
def test_jester(tmp_path: Path, missing: str) -> None:
    """The first column is the number of ratings, and neither 99 nor a count is a rating."""
    text = jester(30, missing=missing)
    path = write(tmp_path, text, "jester.csv")
    table = only(path)
    first = text.splitlines()[0].split(",")
    expected = [("1", str(place), cell) for place, cell in enumerate(first) if place and cell != missing]
    assert [row[:3] for row in ratings(table) if row[3] == 1] == expected
    assert ("99 was read as missing" in table.notes[0]) == (missing == "99")
    assert "users are the numbers of the lines; items are the numbers of the columns" in table.notes[0]
    loaded = load_file(path)
    assert (len(loaded.user_ids), loaded.notes) == (30, [*table.notes])


def test_without_counts(tmp_path: Path) -> None:
    """A 0 that fills most cells is no grade; the numbers of lines and columns are the ids."""
    rows = [["0"] * 12 for _ in range(4)]
    rows[0][0], rows[2][11], rows[3][5] = "5", "3", "1"
    assert ratings(only(write(tmp_path, lines(rows, " "), "r.txt"))) == [
        ("1", "1", "5", 1),
        ("3", "12", "3", 3),
        ("4", "6", "1", 4),
    ]


def test_ids_without_header(tmp_path: Path) -> None:
    rows = [[str(1_000 + number), *("4" if place == number else "" for place in range(10))] for number in range(3)]
    assert [row[:2] for row in ratings(only(write(tmp_path, lines(rows))))] == [
        ("1000", "1"),
        ("1001", "2"),
        ("1002", "3"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        lines([["user", *FILMS], ["ann", *"53541224"], ["bob", *"15243542"], ["cy", *"42315153"]]),
        lines([["student", *FILMS], *GRADES]),
        lines([["movie", *FILMS], *(["m", *"01010011"],) * 4]),
        lines([list("1234512345"), list("5432154321"), list("3333333333")]),
    ],
)
def test_possible_matrix(tmp_path: Path, text: str) -> None:
    """Attributes look the same, so neither ratings nor users and items are taken from it."""
    path = write(tmp_path, text)
    with pytest.raises(InvalidInputError, match=r"use --kind matrix .*, --kind item-matrix .*, or --kind users or"):
        recognise(path)
    assert ratings(only(path, STATED))


def is_matrix(path: Path, hints: FileHints = NO_HINTS) -> bool:
    (file,) = input_files(path)
    return open_matrix(file, {}, hints) is not None


@pytest.mark.parametrize(
    "text",
    [
        "user,age,visits\nu,30,2\n",
        "user,age,visits,logins\nu,3,2,1\n",
        "item,title,a,b,c\ni,Heat,1,2,3\n",
        "item,year,a,b,c\ni,1999,1,2,3\n",
        "item,x,y,z\ni,1,250,3\nj,2,900,4\n",
        "item,x,y,z\ni,1,red,3\n",
        "item,score,clicks,orders\ni,5,100,1\nj,4,90,2\nk,3,80,3\n",
        "user,item,rating,weight\n1,2,3,1\n",
        lines([["item", *(f"v{n}" for n in range(60))], ["i", *(f"0.{n}1" for n in range(60))]]),
        "196\t242\t3\n186\t302\t4\n",
        "\n\n",
        "user,2019,2020,2021\nu,3,,1\n",
        "user,1,2,3,4,5,6,7\nu,3,1,1,2,3,4,3\n",
        "user,1\nu,\nv,2\n",
        "who,what,stars,helpful\n1,2,3,4\n",
    ],
)
def test_no_matrix(tmp_path: Path, text: str) -> None:
    assert not is_matrix(write(tmp_path, text))


@pytest.mark.parametrize("hints", [FileHints(kind=Kind.USERS), FileHints(Columns.parse("user=user,country=Heat"))])
def test_stated_otherwise(tmp_path: Path, hints: FileHints) -> None:
    assert not is_matrix(write(tmp_path, lines([["user", *FILMS], *GRADES])), hints)


@pytest.mark.parametrize(
    ("cells", "missing"),
    [
        (["1", "5", "-1", "-1"], ["-1"]),
        (["1", "5", "0", "0"], ["0"]),
        (["1", "0", "5", "4"], []),
        (["1", "5", "5", "1"], []),
        (["100", "99", "0", "98"], []),
        (["5", "1", "999", "999"], ["999"]),
        (["5", "1", "3", "999"], []),
    ],
)
def test_sentinels(tmp_path: Path, cells: list[str], missing: list[str]) -> None:
    path = write(tmp_path, lines([["user", "a", "b", "c", "d"], ["u", *cells]]))
    assert [row[2] for row in ratings(only(path, STATED))] == [cell for cell in cells if cell not in missing]


@pytest.mark.parametrize(("missing", "expected"), [("1", ["2"]), ("2", ["1"]), ("N", ["1", "2"])])
def test_missing_stated(tmp_path: Path, missing: str, expected: list[str]) -> None:
    path = write(tmp_path, "user,a,b,c\nu,1,2,n\n")
    table = only(path, FileHints(shape=Shape.MATRIX, missing=frozenset({missing})))
    assert [row[2] for row in ratings(table) if row[2] != "n"] == expected


def test_repeated_column(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="two columns named 'Heat'"):
        recognise(write(tmp_path, lines([["user", "Heat", *FILMS[:7]], *GRADES])))


def test_unnamed_column_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "user,Heat,,Up\nu,5,1,4\n")
    assert [row[1] for row in ratings(only(path, STATED))] == ["Heat", "Up"]


def test_bad_rows(tmp_path: Path) -> None:
    path = write(tmp_path, lines([["user", *FILMS], *GRADES, ["dan", "5"]]))
    (block, *_) = only(path).blocks()
    assert [(row.line, row.reason) for row in block.rejected] == [(5, "has 2 fields instead of 9")]


def test_blocks_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = only(write(tmp_path, lines([["user", *FILMS], *GRADES])))
    monkeypatch.setattr(blocks, "ROWS_PER_BLOCK", 4)
    assert [len(block) for block in table.blocks()] == [4, 4, 1]
    assert ratings(table) == EXPECTED
