import json

import numpy as np
import pytest

from app.algorithms.encoding import Encoding
from app.entities import AttributeValue, Item, User
from app.scoring.features import MAX_ATTRIBUTES, Encodings, describe, item_table, text_of, user_table


def described(*attributes: dict[str, AttributeValue]) -> list[Item]:
    return [Item(str(row), attributes=each) for row, each in enumerate(attributes)]


def test_fields_of_items() -> None:
    table = item_table([Item("a", categories=("Drama", "War"), year=1999), Item("b")])
    assert table.sets == {"categories": [("Drama", "War"), ()]}
    np.testing.assert_array_equal(table.numbers["year"], [1999, np.nan])
    assert table.texts == {}


def test_attributes_by_type() -> None:
    table = item_table(
        described(
            {"price": 3, "dubbed": True, "director": "Varda", "cast": ["A", "B"]},
            {"price": 1e300, "dubbed": False},
        )
    )
    np.testing.assert_array_equal(table.numbers["price"], [3, 1e300])
    np.testing.assert_array_equal(table.numbers["dubbed"], [1, 0])
    assert table.texts == {"director": ["Varda", None]}
    assert table.sets["cast"] == [["A", "B"], []]


def test_types_that_differ() -> None:
    table = item_table(described({"size": 3}, {"size": "large"}, {"size": ["a", "b"]}, {"size": False}, {"size": 3.0}))
    assert table.texts["size"] == ["3", "large", "a|b", "false", "3"]
    assert "size" not in table.numbers


def test_attribute_named_like_a_field() -> None:
    table = item_table([Item("a", categories=("Drama",), year=1999, attributes={"year": "first", "categories": 3})])
    assert table.texts == {"attributes.year": ["first"]}
    assert table.numbers["attributes.categories"] == [3]
    assert table.numbers["year"] == [1999]


def test_users() -> None:
    table = user_table([User("a", "FR", {"age": 30, "gender": "F"}), User("b", attributes={"age": 40})])
    assert table.texts == {"country": ["FR", None], "gender": ["F", None]}
    np.testing.assert_array_equal(table.numbers["age"], [30, 40])


def test_later_items_are_read_alike() -> None:
    known = described({"size": 3, "cast": ["A"]}, {"size": "large", "cast": ["A", "B"]}, {"size": 3, "cast": ["B"]})
    encoding = Encoding.fit(item_table(known))
    later = described({"size": 3, "cast": "A"})  # alone, its size is a number and its cast a text
    dense = encoding.encode(item_table(later, encoding.kinds)).toarray()[0]
    assert [name for name, value in zip(encoding.names, dense, strict=True) if value] == ["cast=A", "size=3"]


def test_names_are_bounded() -> None:
    rows: list[dict[str, AttributeValue]] = [{f"own {row}": 1, "shared": row} for row in range(MAX_ATTRIBUTES + 50)]
    table = item_table(described(*rows))
    assert len(table.numbers) == MAX_ATTRIBUTES + 1  # and the year
    assert "shared" in table.numbers


def test_describe() -> None:
    items = [Item("a", categories=("Drama",)), Item("b", categories=("Drama",)), Item("c")]
    features, encodings = describe(items, [User("u", "FR"), User("v", "FR"), User("w", "DE")])
    np.testing.assert_array_equal(features.items.toarray(), [[1], [1], [0]])
    np.testing.assert_array_equal(features.users.toarray(), [[1], [1], [0]])
    assert (encodings.items.names, encodings.users.names) == (["categories=Drama"], ["country=FR"])


@pytest.mark.parametrize("items", [[], [Item("a")], [Item("a"), Item("b")]])
def test_bare_items(items: list[Item]) -> None:
    features, _ = describe(items, [])
    assert features.items.shape == (len(items), 0)
    assert features.users.shape == (0, 0)


def test_text_of_an_item() -> None:
    attributes: dict[str, AttributeValue] = {"tags": ["space", "epic"], "author": "Le Guin", "pages": 3, "is_new": True}
    links: dict[str, AttributeValue] = {"links": ["https://example.com/space"], "poster": "HTTP://example.com/war"}
    item = Item("a", title="War", description="In space.", categories=("Drama",), attributes=attributes | links)
    assert text_of(item) == "War\nIn space.\nspace\nepic\nLe Guin"
    assert text_of(Item("b")) == ""


def test_text_beside_features() -> None:
    items = [Item("a", title="Space war"), Item("b", title="Space love"), Item("c", description="love")]
    features, encodings = describe(items, [], with_text=True)
    assert features.items.shape == (3, 0)  # a title of a single item is no feature
    assert features.item_text is not None
    np.testing.assert_allclose(features.item_text.toarray()[[0, 2]], [[0, 1], [1, 0]])
    assert encodings.mapped_widths == (2, 0)
    reopened = Encodings.from_document(json.loads(json.dumps(encodings.document)))
    assert reopened == encodings
    later = reopened.text_of([Item("new", attributes={"tags": ["LOVE"]})])
    assert later is not None
    np.testing.assert_array_equal(later.toarray(), [[1, 0]])


def test_text_is_off_by_default() -> None:
    features, encodings = describe([Item("a", title="War"), Item("b", title="War"), Item("c")], [])
    assert features.item_text is None
    assert encodings.text_of([Item("d", title="War")]) is None
    document = encodings.document
    del document["item_text"]  # as in snapshots of earlier releases
    assert Encodings.from_document(document) == encodings
