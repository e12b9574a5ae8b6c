from pathlib import Path

from app.intake.blocks import Block
from app.intake.columns import Naming
from app.intake.files import input_files
from app.intake.json_lines import read_json_lines


def read(tmp_path: Path, content: bytes) -> Block:
    path = tmp_path / "table.jsonl"
    path.write_bytes(content)
    (file,) = input_files(path)
    (block,) = read_json_lines(file, Naming())
    return block


def test_rows(tmp_path: Path) -> None:
    block = read(
        tmp_path, b'\xef\xbb\xbf{"user": "u", "item": 1, "rating": 4.5}\r\n\n{"item": 2, "user": "v", "x": null}'
    )
    assert block.columns == {"user_id": ["u", "v"], "item_id": [1, 2], "value": [4.5, None], "x": [None, None]}
    assert block.lines == [1, 3]


def test_bad_lines(tmp_path: Path) -> None:
    deep = b"[" * 100_000
    digits = b'{"item": ' + b"9" * 5_000 + b"}"
    block = read(tmp_path, b'{"item": 1}\n{"item": \n[1]\n' + deep + b"\n" + digits + b'\n{"item": 2}\n')
    assert block.columns == {"item_id": [1, 2]}
    assert [row.line for row in block.rejected] == [2, 3, 4, 5]
    reasons = [row.reason.split(":")[0] for row in block.rejected]
    assert reasons == ["is not JSON", "is not a JSON object", "is nested too deeply", "is not JSON"]


def test_hostile_text_survives_parsing(tmp_path: Path) -> None:
    block = read(tmp_path, b'{"item": "\\ud800"}\n{"item": "\xff"}\n{"item": NaN}\n')
    assert block.columns["item_id"][:2] == ["\ud800", "\udcff"]
