from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.entities import AttributeValue, Item, User
from app.intake.attributes import read_list
from app.intake.blocks import Block
from app.intake.entries import read_items, read_users


def block(*rows: dict[str, Any]) -> Block:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return Block("items.csv", columns, range(2, 2 + len(rows)))


def test_item_of_text() -> None:
    row = {
        "item_id": "i",
        "title": "Heat",
        "categories": "Crime| Drama|",
        "year": "1995",
        "runtime": "170",
        "studio": "",
    }
    read = read_items(block(row))
    assert read.entries == [Item("i", "Heat", ("Crime", "Drama"), 1995, {"runtime": "170"})]
    assert read.given == {"title", "categories", "year", "attributes"}


def test_item_of_json() -> None:
    row = {
        "item_id": 7,
        "title": 1984,
        "categories": ["A|B", ""],
        "year": 1984.0,
        "attributes": {"runtime": 110, "tags": ["x"], "is_new": False, "none": None},
        "is_available": False,
        "available_until": "2030-01-01",
        "created_by": "u",
        "added_at": 0,
        "rating": 4.5,
    }
    read = read_items(block(row))
    attributes: dict[str, AttributeValue] = {"runtime": 110, "tags": ["x"], "is_new": False, "rating": 4.5}
    until, added = datetime(2030, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)
    assert read.entries == [Item("7", "1984", ("A|B", ""), 1984, attributes, False, until, "u", added)]


def test_nothing_given() -> None:
    read = read_items(block({"item_id": "i", "-": "x", "": "0"}))
    assert (read.entries, read.given) == ([Item("i")], frozenset())


def test_user() -> None:
    read = read_users(block({"user_id": "u", "country": "NO", "age": "42", "zip_code": "05511"}))
    assert read.entries == [User("u", "NO", {"age": 42, "zip_code": "05511"})]
    assert read.given == {"country", "attributes"}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("item_id", "", "item_id: an id must have 1 to 128 characters"),
        ("title", "Caf\udce9", "title: 'Caf\\udce9' contains NUL or is not UTF-8"),
        ("title", "nul\0", "title: 'nul\\x00' contains NUL or is not UTF-8"),
        ("title", ["x"], "title: ['x'] is not text"),
        ("categories", "[1]", "categories: 1 is not text"),
        ("categories", "[oops", "categories: '[oops' is not JSON"),
        ("categories", {"a": 1}, "categories: {'a': 1} is not a list of texts"),
        ("year", "soon", "year: 'soon' is not a number"),
        ("year", "1995.5", "year: '1995.5' is not a whole number"),
        ("year", 2**63, "year: 9223372036854775808 does not lie between -10000 and 10000"),
        ("description", "x" * 10_001, "description: 'xxx"),
        ("url", "/films/1", "url: '/films/1': a URL must begin with http:// or https://"),
        ("url", "javascript:alert(1)", "url: 'javascript:alert(1)': a URL must begin with"),
        ("image_url", "https://a.b/" + "x" * 2_048, "image_url: 'https://a.b/xxx"),
        ("image_url", "https://a.b/x y", "image_url: 'https://a.b/x y': a URL must begin with"),
        ("is_available", "maybe", "is_available: 'maybe' is neither true nor false"),
        ("added_at", "soon", "added_at: 'soon' is not a time"),
        ("attributes", "[1]", "attributes: [1] is not a JSON object"),
        ("attributes", {"a": {"b": 1}}, "a: {'b': 1} is not a text, a finite number, true, false or a list of texts"),
        ("attributes", {"a": [1]}, "a: 1 is not text"),
        ("attributes", {"a\0": 1}, "attributes: 'a\\x00' contains NUL"),
        ("price", float("inf"), "price: inf is not a text, a finite number, true, false or a list of texts"),
    ],
)
def test_bad_item_set_aside(name: str, value: Any, reason: str) -> None:
    good = {"item_id": "i", name: None} if name != "item_id" else {"item_id": "i"}
    read = read_items(block(good, {"item_id": "j", name: value}))
    assert [entry.item_id for entry in read.entries] == ["i"]
    (rejected,) = read.rejected
    assert rejected.line == 3
    assert rejected.reason.startswith(reason)


def test_block_without_ids() -> None:
    """A later stretch of a JSONL file need not hold the names of the first."""
    assert [row.reason for row in read_items(block({"title": "x"})).rejected] == [
        "item_id: None is not an id: an id is text or an integer"
    ]
    assert len(read_users(block({"country": "NO"})).rejected) == 1


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=4))
def test_list_in_json_is_exact(values: list[str]) -> None:
    assert read_list(values, "categories") == tuple(values)
