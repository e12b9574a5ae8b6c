"""Patches, batches and listings of items and users, by the client against the service."""

import pytest

from app.client import FakeReckon, ItemRow, NotFoundError, Reckon, UserRow


def test_patches(reckon: Reckon) -> None:
    reckon.put_item("x", title="X", year=1990, attributes={"a": 1, "b": 2})
    patched = reckon.patch_item("x", {"is_available": False, "year": None, "attributes": {"a": None, "c": 3}})
    assert patched == reckon.item("x")
    assert (patched.title, patched.year, patched.is_available, patched.attributes) == (
        "X",
        None,
        False,
        {"b": 2, "c": 3},
    )
    reckon.put_user("ann", country="FI", attributes={"age": 31})
    assert reckon.patch_user("ann", {"country": None}).attributes == {"age": 31}
    with pytest.raises(NotFoundError):
        reckon.patch_item("none", {"year": 1990})


def test_batches(reckon: Reckon) -> None:
    sent = reckon.put_items(ItemRow(f"i{n}" if n != 7 else "a/b", title=f"Item {n}") for n in range(1_002))
    assert (sent.stored, [each.index for each in sent.rejected]) == (1_001, [7])
    assert reckon.put_items([ItemRow("i1", title="Item 1")]).unchanged == 1
    assert reckon.put_users([UserRow("ann", country="FI"), UserRow("bob")]).stored == 2
    assert [user.user_id for user in reckon.iter_users(q="B", page_size=1)] == ["bob"]
    assert [user.user_id for user in reckon.iter_users(page_size=1)] == ["ann", "bob"]
    counts = reckon.counts()
    assert (counts.users, counts.items, counts.bare_items, counts.ratings) == (2, 1_001, 0, 0)
    assert list(reckon.iter_all_events(user_id="ann")) == []


def test_fake() -> None:
    with FakeReckon() as fake:
        fake.put_items([ItemRow("x", title="X", year=1990, attributes={"a": 1})])
        patched = fake.patch_item("x", {"year": None, "attributes": {"a": None, "b": 2}, "is_available": False})
        assert (patched.title, patched.year, patched.attributes, patched.is_available) == ("X", None, {"b": 2}, False)
        assert fake.patch_item("x", {"is_available": None}).is_available
        fake.put_users([UserRow("ann")])
        assert fake.patch_user("ann", {"country": "FI"}).country == "FI"
        assert [user.user_id for user in fake.iter_users()] == ["ann"]
        assert (fake.counts().items, fake.counts().users) == (1, 1)
