from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.entities import ITEM_DEFAULTS, Patch
from app.intake.blocks import Block
from app.intake.cells.attributes import read_list
from app.intake.cells.clearing import escape
from app.intake.entries import read_items, read_users
from app.texts import nfc


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
    fields = {"title": "Heat", "categories": ("Crime", "Drama"), "year": 1995}
    assert read_items(block(row)).patches == [Patch("i", fields, {"runtime": "170"})]


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
    fields = {
        "title": "1984",
        "categories": ("A|B", ""),
        "year": 1984,
        "is_available": False,
        "available_until": datetime(2030, 1, 1, tzinfo=UTC),
        "created_by": "u",
        "added_at": datetime(1970, 1, 1, tzinfo=UTC),
    }
    attributes: dict[str, Any] = {"runtime": 110, "tags": ["x"], "is_new": False, "none": None, "rating": 4.5}
    assert read_items(replace(block(row), nulls={})).patches == [Patch("7", fields, attributes)]


def test_nothing_given() -> None:
    assert read_items(block({"item_id": "i", "-": "x", "": "0"})).patches == [Patch("i")]


def test_user() -> None:
    read = read_users(block({"user_id": "u", "country": "NO", "age": 42, "zip_code": "05511"}))
    assert read.patches == [Patch("u", {"country": "NO"}, {"age": 42, "zip_code": "05511"})]


NAMED = {"title": "T", "categories": ["c"], "year": 1, "is_available": False, "added_at": 0, "attributes": {"a": 1}}


@pytest.mark.parametrize("missing", ["", None])
def test_missing_values_name_nothing(missing: str | None) -> None:
    rows = [
        {"item_id": "full", **NAMED, "price": 3},
        {"item_id": "i", **dict.fromkeys(NAMED, missing), "price": missing},
    ]
    assert read_items(block(*rows)).patches[1] == Patch("i")


@pytest.mark.parametrize("is_json", [True, False])
def test_cleared_values(is_json: bool) -> None:
    """By a null of JSON, and elsewhere by a text."""
    names = [*NAMED, "price", "-"]
    row = {"item_id": "i", **dict.fromkeys(names, None if is_json else r"\N")}
    read = read_items(replace(block(row), nulls={name: [0] for name in names} if is_json else None))
    assert read.patches == [Patch("i", {name: ITEM_DEFAULTS[name] for name in NAMED}, {"price": None})]


@pytest.mark.parametrize("text", [r"\N", r"\\N", r"\\\N", r"\n", r"x\N", "\\"])
def test_escaped_text(text: str) -> None:
    """Text that looks like the mark of a cleared field survives in files; JSON is not marked."""
    row = {"item_id": "i", "title": escape(text), "brand": escape(text)}
    assert read_items(block(row)).patches == [Patch("i", {"title": text}, {"brand": text})]
    row = {"item_id": "i", "title": text, "brand": text}
    assert read_items(replace(block(row), nulls={})).patches == [Patch("i", {"title": text}, {"brand": text})]


@pytest.mark.parametrize("attributes", [{"a": None, "b": 1}, '{"a": null, "b": 1}'])
def test_removed_attributes(attributes: object) -> None:
    """A column counts more than the attribute of the same name in the object."""
    row = {"user_id": "u", "attributes": attributes, "c": "2"}
    assert read_users(replace(block(row), nulls={})).patches == [Patch("u", {}, {"a": None, "b": 1, "c": "2"})]
    row = {"user_id": "u", "attributes": attributes, "a": "2", "b": None}
    assert read_users(replace(block(row), nulls={"b": [0]})).patches == [Patch("u", {}, {"a": "2", "b": None})]


@pytest.mark.parametrize("attributes", ['{"a": null', "[null]", '"null"'])
def test_no_object_with_null(attributes: str) -> None:
    read = read_items(block({"item_id": "i", "title": "T", "attributes": attributes}))
    assert (read.patches, [cell.column for cell in read.left_out]) == ([Patch("i", {"title": "T"})], ["attributes"])


def test_missing_flag_names_nothing() -> None:
    """A word for a missing value must not show an item that is hidden."""
    assert read_items(block({"item_id": "i", "is_available": "NA"})).patches == [Patch("i")]


def test_struct_without_a_value() -> None:
    """Every struct of a Parquet column has all names, so a null in it says nothing."""
    row = {"user_id": "u", "attributes": {"a": None, "b": 1}, "b": r"\N"}
    assert read_users(block(row)).patches == [Patch("u", {}, {"b": None})]


def test_empty_list_is_a_value() -> None:
    """In JSON; text without any element is a missing value."""
    cells: list[Any] = [[], "[]", "|"]
    rows = [{"item_id": "i", "categories": cell} for cell in cells]
    assert [patch.fields for patch in read_items(block(*rows)).patches] == [{"categories": ()}, {}, {}]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("item_id", "", "item_id: an id must have 1 to 128 characters"),
        ("title", "Caf\udce9", "title: 'Caf\\udce9' is not UTF-8: where the file is Latin-1, add --encoding latin-1"),
        ("title", "nul\0", "title: 'nul\\x00' contains NUL or half of a surrogate pair"),
        ("title", ["x"], "title: ['x'] is not text"),
        ("is_available", "maybe", "is_available: 'maybe' is neither true nor false"),
        ("created_by", "a/b", "created_by: an id must not contain '/'"),
    ],
)
def test_bad_item_set_aside(name: str, value: Any, reason: str) -> None:
    good = {"item_id": "i", name: None} if name != "item_id" else {"item_id": "i"}
    read = read_items(block(good, {"item_id": "j", name: value}))
    assert [patch.entry_id for patch in read.patches] == ["i"]
    (rejected,) = read.rejected
    assert rejected.line == 3
    assert rejected.reason.startswith(reason)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("categories", "[oops", "categories: '[oops' is not a list"),
        ("categories", [True], "categories: 'True' is not a name"),
        ("year", "soon", "year: 'soon' is not a year"),
        ("year", "1995.5", "year: '1995.5' is not a whole number"),
        ("year", True, "year: True is not a year"),
        ("year", 2**63, "year: 9223372036854775808 does not lie between -10000 and 10000"),
        ("description", "x" * 10_001, "description: 'xxx"),
        ("url", "/films/1", "url: '/films/1': a URL must begin with http:// or https://"),
        ("url", "javascript:alert(1)", "url: 'javascript:alert(1)': a URL must begin with"),
        ("image_url", "https://a.b/" + "x" * 2_048, "image_url: 'https://a.b/xxx"),
        ("image_url", "https://a.b/x y", "image_url: 'https://a.b/x y': a URL must begin with"),
        ("added_at", "soon", "added_at: 'soon' is not a time"),
        ("attributes", "[1]", "attributes: [1] is not a JSON object"),
        ("attributes", "{oops", "attributes: '{oops' is not JSON"),
        ("attributes", {"a": {"b": "c"}}, "a: \"{'b': 'c'}\" has no name"),
        ("attributes", {"a\0": 1}, "attributes: 'a\\x00' contains NUL"),
        ("price", float("inf"), "price: inf is not a text, a finite number, true, false or a list of texts"),
    ],
)
def test_bad_cell_left_out(name: str, value: Any, reason: str) -> None:
    read = read_items(block({"item_id": "i", "title": "Heat", name: value}))
    (left_out,) = read.left_out
    assert (read.patches, read.rejected, left_out.line) == ([Patch("i", {"title": "Heat"})], [], 2)
    assert f"{left_out.column}: {left_out.reason}".startswith(reason)


def test_bad_attribute_alone_left_out() -> None:
    read = read_users(block({"user_id": "u", "attributes": {"a": {"b": "c"}, "d": 1}, "height": float("nan")}))
    assert (read.patches, len(read.left_out)) == ([Patch("u", {}, {"d": 1})], 1)


def test_block_without_ids() -> None:
    """A later stretch of a JSONL file need not hold the names of the first."""
    assert [row.reason for row in read_items(block({"title": "x"})).rejected] == [
        "item_id: None is not an id: an id is text or an integer"
    ]
    assert len(read_users(block({"country": "NO"})).rejected) == 1


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), max_size=4))
def test_list_in_json_is_exact(values: list[str]) -> None:
    """But for the form of Unicode, which is one in everything that is stored."""
    assert read_list(values, "categories") == tuple(map(nfc, values))
