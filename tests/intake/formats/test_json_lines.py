from pathlib import Path

from app.intake.blocks import Block
from app.intake.files.listing import input_files
from app.intake.formats.json_lines import open_json_lines, read_json_lines
from app.intake.hints import NO_HINTS


def read(tmp_path: Path, content: bytes) -> Block:
    path = tmp_path / "table.jsonl"
    path.write_bytes(content)
    (file,) = input_files(path)
    (block,) = read_json_lines(file)
    return block


def test_rows(tmp_path: Path) -> None:
    block = read(
        tmp_path, b'\xef\xbb\xbf{"user": "u", "item": 1, "rating": 4.5}\r\n\n{"item": 2, "user": "v", "x": null}'
    )
    assert block.columns == {"user": ["u", "v"], "item": [1, 2], "rating": [4.5, None], "x": [None, None]}
    assert block.lines == [1, 3]


def test_bad_lines(tmp_path: Path) -> None:
    deep = b"[" * 100_000
    digits = b'{"item": ' + b"9" * 5_000 + b"}"
    block = read(tmp_path, b'{"item": 1}\n{"item": \n[1]\n' + deep + b"\n" + digits + b'\n{"item": 2}\n')
    assert block.columns == {"item": [1, 2]}
    assert [row.line for row in block.rejected] == [2, 3, 4, 5]
    reasons = [row.reason.split(":")[0] for row in block.rejected]
    assert reasons == ["is not JSON", "is not a JSON object", "is nested too deeply", "is not JSON"]


def test_hostile_text_survives_parsing(tmp_path: Path) -> None:
    block = read(tmp_path, b'{"item": "\\ud800"}\n{"item": "\xff"}\n{"item": NaN}\n')
    assert block.columns["item"][:2] == ["\ud800", "\udcff"]


def test_python_dictionaries(tmp_path: Path) -> None:
    """Amazon 2014: single quotes, tuples of numbers in lists, None and True."""
    block = read(
        tmp_path,
        b"""{'asin': '0001', 'title': "Can't Stop", 'related': {'also': ['2']}, 'price': 3.5, 'x': None}
{"asin": "0002", "is_new": true}
{'asin': '0003', 'title': open('x')}
{'asin': '0004'
{'asin'}
{1: 2}
""",
    )
    assert block.columns["asin"] == ["0001", "0002"]
    assert block.columns["title"] == ["Can't Stop", None]
    assert block.columns["price"] == [3.5, None]
    assert [(row.line, row.reason.split(":")[0]) for row in block.rejected] == [
        (line, "is not JSON") for line in (3, 4, 5, 6)
    ]


def test_names_of_later_lines(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text('\n{"user": "u", "item": "i"}\nbroken\n{"user": "u", "item": "j", "stars": 4}\n')
    (file,) = input_files(path)
    table = open_json_lines(file, {}, NO_HINTS)
    assert table is not None
    assert table.names == ["user", "item", "stars"]
