from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidInputError
from app.intake.blocks import InputTable
from app.intake.column_names.columns import Columns, Kind
from app.intake.hints import FileHints
from app.intake.layouts import recognise

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n"
ITEM = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\tvector:float_seq\n"
USER = "user_id:token\tage:token\tgender:token\n196\t49\tM\n"


def write(tmp_path: Path, text: str, name: str = "ml.inter") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def first_row(table: InputTable) -> dict[str, Any]:
    return {name: column[0] for name, column in next(table.blocks()).columns.items()}


def test_folder(tmp_path: Path) -> None:
    write(tmp_path, INTER)
    write(tmp_path, ITEM + '242\t"Kolya" Returns\t1996\tComedy Drama\t0.5 1\n', "ml.item")
    write(tmp_path, USER, "ml.user")
    items, users, ratings = recognise(tmp_path).tables
    assert [table.kind for table in (items, users, ratings)] == [Kind.ITEMS, Kind.USERS, Kind.RATINGS]
    assert first_row(ratings) == {"user_id": "196", "item_id": "242", "value": "3", "rated_at": "881250949"}
    assert first_row(items) == {
        "item_id": "242",
        "title": '"Kolya" Returns',
        "year": "1996",
        "categories": ["Comedy", "Drama"],
        "vector": ["0.5", "1"],
    }
    assert first_row(users) == {"user_id": "196", "age": 49, "gender": "M"}


@pytest.mark.parametrize("others", ["timestamp:float", "timestamp:float\tsession:token", "reply:token_seq"])
def test_pairs(tmp_path: Path, others: str) -> None:
    cells = "\t5" * len(others.split("\t"))
    (table,) = recognise(write(tmp_path, f"user_id:token\titem_id:token\t{others}\nu\ti{cells}\n")).tables
    assert (table.kind, table.has_values) == (Kind.RATINGS, False)
    row = first_row(table)
    assert (row["user_id"], row["item_id"], row.get("rated_at")) == ("u", "i", "5" if "timestamp" in others else None)


def test_unknown_number(tmp_path: Path) -> None:
    """It may be the value, and its name is used without the type."""
    path = write(tmp_path, "user_id:token\titem_id:token\tlabel:float\nu\ti\t1\n")
    with pytest.raises(InvalidInputError, match="not recognised: label"):
        recognise(path)
    (table,) = recognise(path, FileHints(Columns.parse("user=user_id,item=item_id,rating=label"))).tables
    assert first_row(table)["value"] == "1"


def test_untyped_header(tmp_path: Path) -> None:
    (table,) = recognise(write(tmp_path, "user_id\titem_id:token\trating\nu\ti x\t4\n")).tables
    assert first_row(table) == {"user_id": "u", "item_id": "i x", "value": "4"}
