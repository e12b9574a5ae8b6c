"""What a list shows of an item beside its ranking."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.entities import BARE_ITEM, ITEM_FIELDS, Item
from app.errors import InvalidInputError
from app.serving.catalogue import Attributes
from app.serving.item_details import COLUMNS, ItemSelection, read_details
from app.store import Store

FULL = Item(
    "x",
    categories=("Drama", "War"),
    year=1905,
    attributes={"price": 9.5, "n": 3, "tags": ["a"], "is_new": True},
    is_available=False,
    available_until=datetime(2030, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    created_by="ann",
    added_at=datetime(1960, 1, 1, tzinfo=UTC),
    description="d",
    url="https://a.b",
    image_url="https://a.b/c",
)


def test_all_columns(store: Store) -> None:
    """As the entity has them, in the order of the ids; one that was deleted meanwhile is bare and not available."""
    store.items.record([FULL, Item("y")])
    selection = ItemSelection.parse(COLUMNS)
    gone, bare, full = asyncio.run(read_details(["gone", "y", "x"], selection, store.reads))
    assert full == {name: getattr(FULL, name) for name in COLUMNS}
    assert bare == {name: getattr(BARE_ITEM, name) for name in COLUMNS}
    assert gone == bare | {"is_available": False}


def test_single_attributes(store: Store) -> None:
    store.items.record([FULL])
    selection = ItemSelection.parse(["attributes.tags,attributes.missing", "attributes.n"])
    details = asyncio.run(read_details(["x", "gone"], selection, store.reads))
    assert details == [{"attributes": {"tags": ["a"], "n": 3}}, {"attributes": {}}]


@pytest.mark.parametrize("name", ["a.b", "year", "x ", 'say "a"', "a,b", "back\\slash", "ä"])
def test_names_of_attributes(name: str) -> None:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    assert ItemSelection.parse([f'title,attributes."{quoted}",year']).attributes == (name,)


def test_columns_in_the_order_of_the_table() -> None:
    assert ItemSelection.parse(reversed(COLUMNS)).columns == COLUMNS
    assert ItemSelection.parse(["url,score", "url"]) == ItemSelection(frozenset({"score"}), ("url",))
    assert set(COLUMNS) < set(ITEM_FIELDS)


def test_long_text_is_refused() -> None:
    for text in (" " * 100_000, 'attributes."' * 10_000 + ",", ",".join(f"attributes.{n}" for n in range(50_000))):
        with pytest.raises(InvalidInputError):
            ItemSelection.parse([text])


attribute = st.one_of(
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(max_size=5) | st.just("x" * 201),
    st.lists(st.text(max_size=3), max_size=3),
)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), attribute), min_size=1, max_size=6))
@settings(max_examples=300)
def test_held_values_are_those_given(attributes: list[dict[str, Any]]) -> None:
    """What the columns in memory give back is what was written, or nothing is given back."""
    columns = Attributes(len(attributes))
    rows = np.arange(len(attributes))
    for given_attributes, row in zip(attributes, rows, strict=True):
        columns.write(np.array([row]), [given_attributes])
    for held in (columns, columns.taken(rows)):
        for name in "abc":
            values = held.values(name, rows)
            wanted = [each.get(name) for each in attributes]
            assert values is None or list(map(repr, values)) == list(map(repr, wanted))


def test_plain_attributes_are_held() -> None:
    columns = Attributes(3)
    attributes: list[dict[str, Any]] = [
        {"n": 1, "x": 1.5, "t": "a", "s": ["b", "a"], "f": False},
        {},
        {"n": 2, "x": 2.0, "t": "b"},
    ]
    columns.write(np.arange(3), attributes)
    for name in "nxtsf":
        values = columns.values(name, np.arange(3))
        assert values is not None
        assert list(map(repr, values)) == [repr(each.get(name)) for each in attributes]
    assert columns.values("unknown", np.arange(3)) == [None] * 3
