from pathlib import Path

import pytest

from app.errors import InvalidInputError
from app.intake.blocks import InputTable
from app.intake.column_names.columns import Kind
from app.intake.files import chunks
from app.intake.layouts import recognise

RATINGS = "1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n2:\n3:\n1488844,4,2004-04-19\n"
TITLES = "1,2003,Dinosaur Planet\n2,NULL,Roti, Kapada Aur Makaan\n3,1997,Cit\u00e9\n"


def rows(table: InputTable) -> list[tuple[object, ...]]:
    return [row for block in table.blocks() for row in zip(block.lines, *map(block.column, block.columns), strict=True)]


@pytest.mark.parametrize("chunk_bytes", [5, chunks.CHUNK_BYTES])
def test_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    (tmp_path / "combined_data_1.txt").write_text(RATINGS)
    (tmp_path / "mv_0000004.txt").write_bytes(b"4:\r\n30878,1,2005-09-06\r\n")
    (tmp_path / "movie_titles.csv").write_bytes(TITLES.encode("latin-1"))
    (tmp_path / "probe.txt").write_text("1:\n30878\n")
    (tmp_path / "qualifying.txt").write_text("1:\n30878,2005-12-19\n")
    content = recognise(tmp_path)
    titles, first, second = content.tables
    assert content.ignored == ["probe.txt", "qualifying.txt"]
    assert [table.kind for table in content.tables] == [Kind.ITEMS, Kind.RATINGS, Kind.RATINGS]
    # Chunks become smaller than a line after the recognition, which looks at the first one.
    monkeypatch.setattr(chunks, "CHUNK_BYTES", chunk_bytes)
    assert rows(first) == [
        (2, "1488844", "1", "3", "2005-09-06"),
        (3, "822109", "1", "5", "2005-05-13"),
        (6, "1488844", "3", "4", "2004-04-19"),
    ]
    assert rows(second) == [(2, "30878", "4", "1", "2005-09-06")]
    assert rows(titles) == [
        (1, "1", "2003", "Dinosaur Planet"),
        (2, "2", None, "Roti, Kapada Aur Makaan"),
        (3, "3", "1997", "Cit\u00e9"),
    ]


def test_bad_lines(tmp_path: Path) -> None:
    path = tmp_path / "combined_data_1.txt"
    path.write_text(RATINGS + "5\n\n7,4,2004-04-19\n")
    (table,) = recognise(path).tables
    assert rows(table)[-1] == (9, "7", "3", "4", "2004-04-19")
    (block,) = table.blocks()
    assert [(row.line, row.reason, row.row) for row in block.rejected] == [(7, "has 1 fields instead of 3", "5")]


def test_pairs_refused(tmp_path: Path) -> None:
    path = tmp_path / "probe.txt"
    path.write_text("1:\n30878\n")
    with pytest.raises(InvalidInputError, match="names movies and users as the Netflix Prize does, but no ratings"):
        recognise(path)


def test_titles_by_name(tmp_path: Path) -> None:
    """Under any other name, lines of this form may be ratings."""
    path = tmp_path / "data.csv"
    path.write_text("1,2003,5\n")
    with pytest.raises(InvalidInputError, match="seems to have no header"):
        recognise(path)
