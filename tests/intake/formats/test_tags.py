from pathlib import Path

import pytest

from app.errors import InvalidInputError
from app.intake.blocks import Block
from app.intake.column_names.columns import Kind
from app.intake.formats import tags
from app.intake.layouts import recognise

TAGS = """userId,movieId,tag,timestamp
2,1,funny,1445714994
2,3,"pixar, animated",1445714996
3,1,Funny,1445714992
3,1,  will   ferrell,1445714992
4,1,toys,1445714992
5,1,toys,1445714992
6,1,TOYS,1445714992
7,1,,1445714992
"""


def read(path: Path) -> list[Block]:
    (table,) = recognise(path).tables
    assert table.kind is Kind.ITEMS
    return list(table.blocks())


def write(tmp_path: Path, content: str | bytes, name: str = "tags.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_frequent_tags_first(tmp_path: Path) -> None:
    rejected, items = read(write(tmp_path, TAGS))
    assert items.columns == {"item_id": ["1", "3"], "tags": [["toys", "funny", "will ferrell"], ["pixar, animated"]]}
    assert list(items.lines) == [2, 3]
    assert [(row.line, row.reason) for row in rejected.rejected] == [(9, "tag: is missing")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tags.dat", "2::1::funny::1445714994\n"),
        ("item_tags.tsv", "Tag\tItem\nfunny\t1\n"),
        ("tags.csv", "tag;item;user\nfunny;1;2\n"),
        ("tags.csv", b"item,tag\n1,funny\n1,\xff\n"),
    ],
)
def test_other_layouts(tmp_path: Path, name: str, content: str | bytes) -> None:
    assert read(write(tmp_path, content, name))[-1].columns == {"item_id": ["1"], "tags": [["funny"]]}


def test_number_limited(tmp_path: Path) -> None:
    rows = "".join(f"1,t{number}\n" for number in range(tags.MAX_TAGS + 9))
    (listed,) = read(write(tmp_path, f"item,tag\n{rows}1,t57\n"))[-1].column("tags")
    assert (len(listed), listed[:2], listed[-1]) == (tags.MAX_TAGS, ["t57", "t0"], "t48")


@pytest.mark.parametrize("header", ["user,item,tag,rating", "item,tag,title", "item,tag id"])
def test_other_columns(tmp_path: Path, header: str) -> None:
    """A further column means something else than tags."""
    path = write(tmp_path, f"{header}\n{','.join('1' * len(header.split(',')))}\n")
    try:
        (table,) = recognise(path).tables
    except InvalidInputError:
        return
    assert "tags" not in next(table.blocks()).columns
