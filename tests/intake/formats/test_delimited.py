from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInputError
from app.intake.blocks import Block
from app.intake.files import chunks
from app.intake.files.listing import input_files
from app.intake.formats import delimited
from app.intake.formats.delimited import DelimitedDialect, read_delimited

NAMES = ["a", "b"]


def read(
    path: Path, content: bytes, dialect: DelimitedDialect | None = None, *, has_header: bool = False
) -> list[Block]:
    path.write_bytes(content)
    (file,) = input_files(path)
    return list(read_delimited(file, NAMES, dialect or DelimitedDialect(), has_header=has_header))


def rows(blocks: list[Block]) -> list[tuple[int, str, str]]:
    return [row for block in blocks for row in zip(block.lines, block.columns["a"], block.columns["b"], strict=True)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def test_plain_rows(path: Path) -> None:
    assert rows(read(path, b"a,b\n1,2\n3,4\n", has_header=True)) == [(2, "1", "2"), (3, "3", "4")]


def test_no_final_line_break(path: Path) -> None:
    assert rows(read(path, b"1,2\n3,4")) == [(1, "1", "2"), (2, "3", "4")]


def test_crlf_and_bom(path: Path) -> None:
    assert rows(read(path, b"\xef\xbb\xbfa,b\r\n1,2\r\n", has_header=True)) == [(2, "1", "2")]


def test_blank_lines_skipped(path: Path) -> None:
    assert rows(read(path, b"\n1,2\n\n\n3,4\n\n")) == [(2, "1", "2"), (5, "3", "4")]


def test_quoted_fields(path: Path) -> None:
    blocks = read(path, b'1,2\n"x, ""y""\nz",4\n5,6\n')
    assert rows(blocks) == [(1, "1", "2"), (2, 'x, "y"\nz', "4"), (4, "5", "6")]


def test_quotes_kept_unquoted(path: Path) -> None:
    blocks = read(path, b'"x|2\n3|4\n', DelimitedDialect("|", is_quoted=False))
    assert rows(blocks) == [(1, '"x', "2"), (2, "3", "4")]


def test_double_colons(path: Path) -> None:
    blocks = read(path, "1::Caf\u00e9\n2::x:y\n".encode(), DelimitedDialect("::", is_quoted=False))
    assert rows(blocks) == [(1, "1", "Caf\u00e9"), (2, "2", "x:y")]


def test_latin1_lines(path: Path) -> None:
    content = "1|Caf\u00e9\n".encode("latin-1") + "2|Caf\u00e9\n".encode()
    blocks = read(path, content, DelimitedDialect("|", is_quoted=False, is_latin1=True))
    assert rows(blocks) == [(1, "1", "Caf\u00e9"), (2, "2", "Caf\u00e9")]


def test_misshapen_rows(path: Path) -> None:
    blocks = read(path, b"1,2\n3\n4,5,6\n7,8\n")
    assert rows(blocks) == [(1, "1", "2"), (4, "7", "8")]
    rejected = [(row.line, row.reason, row.row) for block in blocks for row in block.rejected]
    assert rejected == [(2, "has 1 fields instead of 2", "3"), (3, "has 3 fields instead of 2", "4,5,6")]


@pytest.mark.parametrize("n_rows", [1, 50_000])
def test_unclosed_quote(path: Path, n_rows: int) -> None:
    content = b'1,2\n"5\n6",7\n3,"4\n' + b"x,y\n" * n_rows
    with pytest.raises(InvalidInputError, match=r"the row in line 4 of table\.csv has a quote that is not closed"):
        read(path, content)


def test_quote_closed_by_another(path: Path) -> None:
    """The rows between the quotes are lost in one row, whose reason names their lines."""
    (block,) = read(path, b'1,2\n"3,4\n5,6"\n9,0\n')
    assert rows([block]) == [(1, "1", "2"), (4, "9", "0")]
    assert [(row.line, row.reason) for row in block.rejected] == [
        (2, "has 1 fields instead of 2 and spans the lines 2 to 3, so a quote may not be closed")
    ]


@pytest.mark.parametrize("rows_before", [0, 3])
def test_field_too_long(path: Path, rows_before: int) -> None:
    """Within one line nothing else is lost."""
    content = b'"1",2\n' * rows_before + b'"a",' + b"x" * 140_000 + b"\n3,4\n"
    blocks = read(path, content)
    (broken,) = (row for block in blocks for row in block.rejected)
    assert (broken.line, broken.reason) == (
        rows_before + 1,
        "cannot be parsed as CSV: field larger than field limit (131072)",
    )
    assert rows(blocks)[-1] == (rows_before + 2, "3", "4")


@pytest.mark.parametrize(
    "table",
    [
        b"a,b\r1,2\r3,4\r",
        b"a,b\r1,2\r3,4",
        b"a,b\r\n1,2\n3,4\r",
        b'a,b\r"1",2\r3,4\r',
        b'a,b\n"1",2\r\n3,"4"\r',
        b"a,b\n1,2\n\xef\xbb\xbf3,4\n",
        b"a , b\n 1,2\t\n3 ,4 \n",
        b"a,b\n 1,2\n3,4\n",
        b"a,b\n1,2\n3,\t4\n",
        b"a,b\n1,2\n3 ,4\n",
        b"a,b\n1,2 \n3,4\n",
        b'a, b\n "1", "2"\n3, "4" \n',
        b"\n \na,b\n1,2\n3,4\n",
    ],
)
def test_messy_tables(path: Path, table: bytes) -> None:
    """Line breaks of every kind, byte order marks within, blanks around fields."""
    read_rows = rows(read(path, table, has_header=True))
    assert [row[1:] for row in read_rows] == [("1", "2"), ("3", "4")]
    assert [row[0] for row in read_rows] == ([4, 5] if table.startswith(b"\n") else [2, 3])


def test_blanks_as_separators(path: Path) -> None:
    assert rows(read(path, b"1 2\n3 \n", DelimitedDialect(" "))) == [(1, "1", "2"), (2, "3", "")]
    assert rows(read(path, b"1\t\n \t4\n", DelimitedDialect("\t"))) == [(1, "1", ""), (2, "", "4")]


@pytest.mark.parametrize(
    ("table", "lines"),
    [
        (b"a,b\n1,2\na,b\n3,4\n", [3]),
        (b"a,b\r\n1,2\r\na,b\r\na,b\r\n3,4\r\n", [3, 4]),
        (b'"a", b\n"1",2\na,"b"\n3,4\n', [3]),
        (b"a,b\n1,2\n\xef\xbb\xbfa,b\n3,4\n", [3]),
    ],
)
def test_repeated_headers(path: Path, table: bytes, lines: list[int]) -> None:
    blocks = read(path, table, has_header=True)
    assert [row[1:] for row in rows(blocks)] == [("1", "2"), ("3", "4")]
    assert [line for block in blocks for line in block.repeated_headers] == lines
    assert not any(block.rejected for block in blocks)


def test_first_row_repeated(path: Path) -> None:
    """Without a header a row may occur twice."""
    assert len(rows(read(path, b"1,2\n1,2\n"))) == 2


def test_wide_rows(path: Path) -> None:
    """Blocks of quoted rows have a bounded number of cells."""
    names = [str(n) for n in range(60_000)]
    path.write_bytes((",".join(f'"{name}"' for name in names) + "\n").encode() * 40)
    (file,) = input_files(path)
    assert max(map(len, read_delimited(file, names, DelimitedDialect(), has_header=False))) == 17


def test_small_chunks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 7)
    monkeypatch.setattr(delimited, "ROWS_PER_BLOCK", 2)
    content = b"".join(b"%d,%d\n" % (n, n) for n in range(50)) + b'"5\n1",x\n' + b"7\n8,9\n"
    expected = [(n + 1, str(n), str(n)) for n in range(50)]
    assert rows(read(path, content)) == [*expected, (51, "5\n1", "x"), (54, "8", "9")]


@given(
    table=st.lists(st.lists(st.text("ab,\"\n\r '\u00e9;", max_size=4), min_size=2, max_size=2), max_size=30),
    line_break=st.sampled_from(["\n", "\r\n"]),
)
def test_agrees_with_csv_module(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], line_break: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    text = "h,h\n" + "".join(
        ",".join('"' + part.replace('"', '""') + '"' for part in row) + line_break for row in table
    )
    table = [[part.strip(" ") for part in row] for row in table if row != ["h", "h"]]
    parsed = rows(read(path, text.encode(), has_header=True))
    assert [list(row[1:]) for row in parsed] == table
    lines = text.splitlines(keepends=False)
    assert all(1 < row[0] <= len(lines) for row in parsed)
