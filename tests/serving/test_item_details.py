"""What a list shows of an item beside its ranking."""

import asyncio
from datetime import UTC, datetime

import pytest

from app.entities import BARE_ITEM, ITEM_FIELDS, Item
from app.errors import InvalidInputError
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
