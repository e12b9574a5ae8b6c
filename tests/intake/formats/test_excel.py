import datetime as dt
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidInputError
from app.intake.blocks import InputTable
from app.intake.column_names.columns import Columns, Kind
from app.intake.files.sources import ALWAYS_ALLOWED_BYTES
from app.intake.formats import excel
from app.intake.hints import NO_HINTS, FileHints, Shape
from app.intake.layouts import recognise
from app.intake.ratings import RatingReader

openpyxl = pytest.importorskip("openpyxl", reason="needs the extra `excel`")

DAY = dt.datetime(2020, 2, 29, 12, 30)  # noqa: DTZ001  Excel has no zones
RATINGS: list[list[Any]] = [["User", "Product", "Stars", "Date"], [1, "p7", 4.5, DAY], [2.0, 10, 3, None]]


def write(tmp_path: Path, **sheets: list[list[Any]]) -> Path:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for title, rows in sheets.items():
        sheet = workbook.create_sheet(title)
        for row in rows:
            sheet.append(row)
        if title == "hidden":
            sheet.sheet_state = "hidden"
    path = tmp_path / "book.xlsx"
    workbook.save(path)
    return path


def only(path: Path, hints: FileHints = NO_HINTS) -> InputTable:
    (table,) = recognise(path, hints).tables
    return table


def test_ratings(tmp_path: Path) -> None:
    table = only(write(tmp_path, Sheet1=RATINGS))
    (block,) = table.blocks()
    read = RatingReader(1_700_000_000_000_000).read(block).ratings
    assert (table.kind, table.notes, list(block.lines)) == (Kind.RATINGS, (), [2, 3])
    assert (read.user_id, read.item_id, read.value.tolist()) == (["1", "2"], ["p7", "10"], [4.5, 3.0])
    assert read.rated_at.tolist()[0] == 1_582_979_400_000_000
    assert table.file.counter.bytes_read == table.file.size


def test_rows_above_and_empty_columns(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["Report of June"],
        [],
        [None, "made", DAY.date()],
        *([None, None, *row] for row in RATINGS),
        [],
        [None] * 6,
    ]
    rows.append([None, None, 3, "p7", "#N/A", " "])
    (block,) = only(write(tmp_path, Sheet1=rows)).blocks()
    assert block.columns["user_id"] == (1, 2, 3)
    assert block.columns["value"] == (4.5, 3, None)
    assert list(block.lines) == [5, 6, 9]


def test_first_sheet_with_a_table(tmp_path: Path) -> None:
    items: list[list[Any]] = [["Product", "Title", "Added"], ["p7", 1984, DAY]]
    sheets: dict[str, list[list[Any]]] = {
        "About": [["Grades of our shop"]],
        "Misc": [["when", "what"], [1, 2]],
        "hidden": RATINGS,
    }
    table = only(write(tmp_path, **sheets, Grades=RATINGS, Products=items))
    assert table.kind is Kind.RATINGS
    assert table.notes == ("book.xlsx: only the sheet 'Grades' was read; save 'Misc', 'Products' as other files",)


def test_matrix(tmp_path: Path) -> None:
    films = [f"Film {number}" for number in range(9)]
    grades: list[list[Any]] = [["ann", 5, *[None] * 7, 3], [17, None, 2, *[None] * 7]]
    table = only(write(tmp_path, Sheet1=[["Grades"], ["user", *films], *grades]))
    (block,) = table.blocks()
    assert block.columns == {
        "user_id": ["ann", "ann", 17],
        "item_id": ["Film 0", "Film 8", "Film 1"],
        "value": [5, 3, 2],
    }
    assert (table.kind, list(block.lines)) == (Kind.RATINGS, [3, 3, 4])
    assert "read as a matrix" in table.notes[0]


def test_matrix_stated(tmp_path: Path) -> None:
    path = write(tmp_path, Sheet1=[["user", "Heat", "Up", "M"], ["ann", 5, 4, 1]])
    (block,) = only(path, FileHints(shape=Shape.MATRIX)).blocks()
    assert block.columns["item_id"] == ["Heat", "Up", "M"]


@pytest.mark.parametrize("header", [[], [["who", "what", "how", "when"]]])
def test_columns_in_order(tmp_path: Path, header: list[list[Any]]) -> None:
    path = write(tmp_path, Sheet1=header + RATINGS[1:])
    (block,) = only(path, FileHints(Columns.parse("user,item,rating,timestamp"))).blocks()
    assert block.columns["user_id"] == (1, 2)
    with pytest.raises(InvalidInputError, match="has 4 columns, but --columns names 3"):
        recognise(path, FileHints(Columns.parse("user,item,rating")))


@pytest.mark.parametrize(
    ("sheets", "message"),
    [
        ({"Sheet1": []}, "has no sheet with a table"),
        ({"Sheet1": [["Grades"], ["of June"]]}, "has no sheet with a table"),
        ({"Sheet1": [["when", "what"], [1, 2]]}, "not recognised: what"),
        ({"Sheet1": [["user", "item", "item"], [1, 2, 3]]}, "has two columns named 'item'"),
    ],
)
def test_refused(tmp_path: Path, sheets: dict[str, list[list[Any]]], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        recognise(write(tmp_path, **sheets))


def test_blocks_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excel, "ROWS_PER_BLOCK", 2)
    table = only(write(tmp_path, Sheet1=[RATINGS[0], *([number, 1, 1, DAY] for number in range(5))]))
    read = []
    for block in table.blocks():
        assert 0 < len(block) <= 2
        read.append(table.file.counter.bytes_read)
    assert read == sorted(read)


def test_cut_short(tmp_path: Path) -> None:
    path = write(tmp_path, Sheet1=RATINGS)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InvalidInputError, match=r"book\.xlsx"):
        recognise(path)


def test_broken_part(tmp_path: Path) -> None:
    path = write(tmp_path, Sheet1=RATINGS)
    content = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(content, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data[:-40] if name.endswith("sheet1.xml") else data)
    path.write_bytes(content.getvalue())
    with pytest.raises(InvalidInputError, match="is damaged or not a workbook"):
        recognise(path)


def test_zip_bomb(tmp_path: Path) -> None:
    path = write(tmp_path, Sheet1=RATINGS)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/image1.xml", b"0" * (ALWAYS_ALLOWED_BYTES + 1))
    with pytest.raises(InvalidInputError, match="possible zip bomb"):
        recognise(path)


def test_far_cell(tmp_path: Path) -> None:
    """A stray cell far from the table makes neither a row nor a column of it."""
    workbook = openpyxl.load_workbook(write(tmp_path, Sheet1=RATINGS))
    workbook.active.cell(row=300, column=1_000, value="x")
    path = tmp_path / "far.xlsx"
    workbook.save(path)
    assert sum(map(len, only(path).blocks())) == 2


def test_without_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, Sheet1=RATINGS)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InvalidInputError, match=r"Excel needs openpyxl: pip install 'reckon\[excel\]'"):
        recognise(path)
