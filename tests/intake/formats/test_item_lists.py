from pathlib import Path

import pytest

from app.errors import InvalidInputError
from app.intake import blocks
from app.intake.blocks import InputTable
from app.intake.column_names.columns import Columns, Kind
from app.intake.hints import NO_HINTS, FileHints, Shape
from app.intake.layouts import recognise

CITEULIKE = "3 7 9 12\n1 9\n3 1 2 3\n"


def write(tmp_path: Path, text: str, name: str = "train.txt") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def pairs(table: InputTable) -> list[tuple[str, str, int]]:
    assert (table.kind, table.has_values) == (Kind.RATINGS, False)
    return [
        row
        for block in table.blocks()
        for row in zip(block.columns["user_id"], block.columns["item_id"], block.lines, strict=True)
    ]


def test_lists_of_users(tmp_path: Path) -> None:
    """LightGCN: a user may have no items in the test file, and both files are read."""
    write(tmp_path, "0 10 11 12\n1 10\n2 13 14\n")
    write(tmp_path, "0 15\n1\n2 10 11 \n", "test.txt")
    write(tmp_path, "org_id remap_id\n9 0\n", "user_list.txt")
    content = recognise(tmp_path)
    test, train = content.tables
    assert pairs(train) == [
        ("0", "10", 1),
        ("0", "11", 1),
        ("0", "12", 1),
        ("1", "10", 2),
        ("2", "13", 3),
        ("2", "14", 3),
    ]
    assert pairs(test) == [("0", "15", 1), ("2", "10", 3), ("2", "11", 3)]
    assert content.notes[0] == "test.txt: each line was read as a user, then the items of that user"
    assert content.ignored == ["user_list.txt"]


def test_counted_lists(tmp_path: Path) -> None:
    """citeulike: only the file of users is one of users."""
    write(tmp_path, CITEULIKE, "users.dat")
    write(tmp_path, CITEULIKE, "items.dat")
    write(tmp_path, CITEULIKE, "citations.dat")
    content = recognise(tmp_path)
    (table,) = content.tables
    assert content.ignored == ["citations.dat", "items.dat"]
    expected = [("1", item, 1) for item in ("7", "9", "12")]
    assert pairs(table) == [*expected, ("2", "9", 2), *(("3", item, 3) for item in ("1", "2", "3"))]


def test_wrong_count_rejected(tmp_path: Path) -> None:
    (table,) = recognise(write(tmp_path, "2 1 2\n2 1\n"), FileHints(shape=Shape.COUNTED_LISTS)).tables
    assert len(pairs(table)) == 2
    (block,) = table.blocks()
    assert [(row.line, row.reason) for row in block.rejected] == [(2, "begins with '2', but has 1 items")]


@pytest.mark.parametrize(
    ("text", "name", "flags"),
    [
        ("1 5\n2 5 6\n", "users.dat", "--kind lists .* or --kind counted-lists"),
        ("2 5 6\n2 7 8\n1 6\n", "data.txt", "use --kind counted-lists"),
        ("3 5 6\n3 7 8 9\n", "retail.dat", "--kind lists .* or --kind baskets"),
        ("0 5 6\n1 7 8 9\n", "item_users.txt", "use --kind lists"),
    ],
)
def test_ambiguous(tmp_path: Path, text: str, name: str, flags: str) -> None:
    with pytest.raises(InvalidInputError, match=flags):
        recognise(write(tmp_path, text, name))


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (Shape.LISTS, "u a b\n"),
        (Shape.LISTS, "u\ta,b\n"),
        (Shape.LISTS, "u, a, b,\r\n"),
        (Shape.COUNTED_LISTS, "2;a;b\n"),
        (Shape.BASKETS, "a|b\n"),
    ],
)
def test_kind_stated(tmp_path: Path, shape: Shape, text: str) -> None:
    (table,) = recognise(write(tmp_path, text), FileHints(shape=shape)).tables
    user = "u" if shape is Shape.LISTS else "1"
    assert pairs(table) == [(user, "a", 1), (user, "b", 1)]


@pytest.mark.parametrize("text", ["1 2\n3 4\n", "1 2 3\n", "1 x\n1 2 3\n", "1\t\t2\n2\t3\t4\n", "1  2\n3 4 5\n"])
def test_no_lists(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInputError, match="--columns"):
        recognise(write(tmp_path, text))


def test_columns_overrule(tmp_path: Path) -> None:
    path = write(tmp_path, "1 2\n3 4 5\n")
    (table,) = recognise(path, FileHints(Columns.parse("user,item"))).tables
    assert pairs(table) == [("1", "2", 1)]


def test_blocks_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ROWS_PER_BLOCK", 2)
    (table,) = recognise(write(tmp_path, "0 1 2 3\n1 4 5\n"), NO_HINTS).tables
    assert [len(block) for block in table.blocks()] == [2, 2, 1]
    assert len(pairs(table)) == 5
