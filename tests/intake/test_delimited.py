from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInputError
from app.intake import chunks, delimited
from app.intake.blocks import Block
from app.intake.delimited import DelimitedDialect, read_delimited
from app.intake.files import input_files

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


def test_unclosed_quote(path: Path) -> None:
    content = b'1,2\n3,"4\n' + b"x,y\n" * 50_000
    blocks = read(path, content)
    (broken,) = (row for block in blocks for row in block.rejected)
    assert broken.line == 2
    assert "cannot be parsed as CSV up to line" in broken.reason
    assert rows(blocks)[0] == (1, "1", "2")
    assert rows(blocks)[-1] == (50_002, "x", "y")


def test_huge_line(path: Path) -> None:
    with pytest.raises(InvalidInputError, match="a line of more than 4 MiB"):
        read(path, b"1,2\n" + b"x" * (5 << 20))


def test_utf16_named(path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is UTF-16"):
        read(path, "a,b\n1,2\n".encode("utf-16"))


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
    parsed = rows(read(path, text.encode(), has_header=True))
    assert [list(row[1:]) for row in parsed] == table
    lines = text.splitlines(keepends=False)
    assert all(1 < row[0] <= len(lines) for row in parsed)
