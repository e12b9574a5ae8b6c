import json
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidInputError
from app.intake.blocks import InputTable
from app.intake.column_names.columns import Columns, Kind
from app.intake.formats import json_document
from app.intake.hints import NO_HINTS, FileHints, Shape
from app.intake.layouts import recognise

ROWS = [{"user": f"u{number}", "item": '\u00e9, "]}', "rating": number} for number in range(40)]
BY_USER = {f"u{user}": {f"i{item}": 4 for item in range(user, user + 3)} for user in range(9)}
EXPECTED = [{"user_id": row["user"], "item_id": row["item"], "value": row["rating"]} for row in ROWS]


def write(tmp_path: Path, content: str | bytes | Any) -> Path:
    path = tmp_path / "ratings.json"
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(table: InputTable) -> list[dict[str, Any]]:
    return [
        dict(zip(block.columns, values, strict=True))
        for block in table.blocks()
        for values in zip(*block.columns.values(), strict=True)
    ]


def only(path: Path, hints: FileHints = NO_HINTS) -> InputTable:
    (table,) = recognise(path, hints).tables
    return table


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2, ensure_ascii=False),
        "\ufeff" + "[\r\n" + ",\r\n".join(map(json.dumps, ROWS)) + "\r\n]\r\n",
        json.dumps({"count": 40, "meta": {"a": [1]}, "ratings": ROWS, "next": None}),
        json.dumps({"ratings": ROWS}, indent=1),
        "\n".join(json.dumps(row, indent=1) for row in ROWS),
        json.dumps(ROWS[:9]) + "\n" + json.dumps(ROWS[9:]),
        json.dumps(ROWS).encode("utf-16"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [3, 1 << 19])
def test_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | bytes, chunk_bytes: int) -> None:
    """However the document is written and cut, its rows are the same."""
    path = write(tmp_path, content)
    table = only(path)
    monkeypatch.setattr(json_document, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(json_document, "ROWS_PER_BLOCK", 7)
    assert rows(table) == EXPECTED
    assert [line for block in table.blocks() for line in block.lines] == list(range(1, 41))
    assert table.file.counter.bytes_read == path.stat().st_size


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 1 << 19])
def test_numbers_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    path = write(tmp_path, "[[12345,2.5e1,-7],[1,20,300]]")
    table = only(path, FileHints(Columns.parse("user,item,rating")))
    monkeypatch.setattr(json_document, "CHUNK_BYTES", chunk_bytes)
    assert [tuple(row.values()) for row in rows(table)] == [(12345, "25", -7), (1, 20, 300)]
    assert table.kind is Kind.RATINGS


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("", "the document is cut short; nothing behind this place was read"),
        (', {"user": "v", "it', "the document is not JSON: Unterminated string"),
        (' {"user": "v"}]', "the document is not JSON: ',' is expected, not '{'"),
        ("] x", "the document has text behind its end"),
        (', {"user": ' + "9" * 5_000 + "}]", "the document is not JSON: Exceeds the limit"),
        (", " + "[" * 100_000, "the document is nested too deeply"),
    ],
)
def test_broken(tmp_path: Path, ending: str, reason: str) -> None:
    """The rows before are kept, and the report says that the rest is missing."""
    table = only(write(tmp_path, json.dumps(ROWS[:2])[:-1] + ending))
    assert rows(table) == EXPECTED[:2]
    (rejected,) = (row for block in table.blocks() for row in block.rejected)
    assert (rejected.line, rejected.reason[: len(reason)]) == (3, reason)


def test_other_values_rejected(tmp_path: Path) -> None:
    table = only(write(tmp_path, [ROWS[0], 5, ["a"], None, ROWS[1]]))
    (first, *_) = table.blocks()
    assert [(row.line, row.reason, row.row) for row in first.rejected] == [
        (2, "is not a JSON object", "5"),
        (3, "is not a JSON object", '["a"]'),
        (4, "is not a JSON object", "null"),
    ]
    assert list(first.lines) == [1, 5]


def test_names_of_later_rows(tmp_path: Path) -> None:
    """A field that the first row leaves out is recognised too."""
    table = only(write(tmp_path, [{"user": "u", "item": "i"}, {"user": "v", "item": "i", "stars": 3}]))
    assert rows(table)[1] == {"user_id": "v", "item_id": "i", "value": 3}


@pytest.mark.parametrize(
    ("content", "shape"),
    [(BY_USER, None), (json.dumps(BY_USER, indent=2), None), ({"u": {"i": 4.5, "j": None}}, Shape.MATRIX)],
)
def test_ratings_by_user(tmp_path: Path, content: Any, shape: Shape | None) -> None:
    table = only(write(tmp_path, content), FileHints(shape=shape))
    document = json.loads(content) if isinstance(content, str) else content
    expected = [(user, item, value) for user, items in document.items() for item, value in items.items() if value]
    assert [tuple(row.values()) for row in rows(table)] == expected
    assert (table.kind, table.has_values) == (Kind.RATINGS, True)


def test_items_by_user(tmp_path: Path) -> None:
    table = only(write(tmp_path, {"u": ["i", 2], "v": []}), FileHints(shape=Shape.LISTS))
    assert rows(table) == [{"user_id": "u", "item_id": "i"}, {"user_id": "u", "item_id": 2}]
    assert not table.has_values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"users": [{"user": 1}], "ratings": ROWS}, r"several arrays of objects \(users, ratings\).*jq -c '\.users"),
        ({"u": {"age": 3, "visits": 2}, "v": {"age": 4}}, "use --kind matrix if these are the ratings"),
        ({"u": ["i"], "v": ["j"]}, "use --kind lists if these are the items"),
        ({"i": {"title": "Heat"}, "j": {"title": "Up"}}, "is an object of objects: write them as an array"),
        ({"user": {"0": 1}, "item": {"0": 2}, "rating": {"0": 3}}, "orient='records'"),
        ({"user": [1], "item": [2], "rating": [3]}, "orient='records'"),
        ([["u", "i", 4]], "name their elements in order with --columns user,item,rating"),
        ("[1, 2]\n", "an array of values that are not objects"),
        ('{"user": \n', "ratings.json is cut short"),
        ('{"user": ]', "ratings.json is not JSON: Expecting value"),
        ("[", "ratings.json is cut short"),
        ("[]", "no column that is recognised"),
        ('{"when": 1}', "timestamp=when"),
    ],
)
def test_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        recognise(write(tmp_path, content))


def test_order_of_fields(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="holds objects, whose fields have names and no order"):
        recognise(write(tmp_path, ROWS), FileHints(Columns.parse("user,item,rating")))


def test_one_line_of_jsonl(tmp_path: Path) -> None:
    assert rows(only(write(tmp_path, json.dumps(ROWS[0])))) == EXPECTED[:1]


def test_huge_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, [*ROWS[:2], {"user": "x" * 9_000}])
    table = only(path)
    monkeypatch.setattr(json_document, "CHUNK_BYTES", 100)
    monkeypatch.setattr(json_document, "MAX_VALUE_CHARACTERS", 1_000)
    (rejected,) = (row for block in table.blocks() for row in block.rejected)
    assert rejected.reason.startswith("the document is not JSON, or has a value of more than 4 MiB")
