import numpy as np
import pytest

from app.algorithms.encoding import Encoding
from app.entities import AttributeValue, Item, User
from app.scoring.features import MAX_ATTRIBUTES, describe, item_table, user_table


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
