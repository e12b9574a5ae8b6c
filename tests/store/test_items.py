"""Items and users: upserts, the catalogue version and what changed since one."""

from datetime import UTC, datetime

import numpy as np
import pytest

from app.entities import NEVER, UNKNOWN_TIME, AttributeValue, Item, Patch, User, to_microseconds
from app.store import REPLACED, STORED, UNCHANGED, Store
from app.store.items import CatalogueColumns
from tests.support.ratings import incoming

FULL = Item(
    "x",
    title="Łódź, 1905",
    categories=("Drama", "Film, noir"),
    year=1905,
    attributes={"length": 12.5, "is_color": False, "languages": ["pl", "de"], "studio": "Ü"},
    is_available=False,
    available_until=datetime(2030, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    created_by="ann",
    added_at=datetime(2020, 1, 1, tzinfo=UTC),
    description="A film,\nof Łódź.",
    url="https://example.com/łódź?a=1#b",
    image_url="http://example.com/x.jpg",
)


def test_item_round_trip(store: Store) -> None:
    assert store.items.record([FULL]) == [STORED]
    assert store.items.get("x") == FULL
    assert list(store.items.stream()) == [FULL]


def test_equal_item_unchanged(store: Store) -> None:
    store.items.record([FULL])
    version = changes_since(store, -1)[0]
    assert store.items.record([FULL]) == [UNCHANGED]
    assert changes_since(store, -1)[0] == version


def test_only_given_fields_overwrite(store: Store) -> None:
    store.items.record([FULL])
    assert store.items.patch([Patch("x", {"title": "Other"})]) == [REPLACED]
    kept = store.items.get("x")
    assert kept is not None
    assert (kept.title, kept.year, kept.is_available) == ("Other", 1905, False)


def test_repeated_ids(store: Store) -> None:
    """In order: each is applied to what the one before has left."""
    assert store.items.record([Item("x", title="first"), Item("x", title="second")]) == [STORED, REPLACED]
    assert [item.title for item in store.items.stream()] == ["second"]
    patches = [Patch("x", {"year": 1}), Patch("y"), Patch("x", {"year": 1}), Patch("y", {}, {"a": 1}), Patch("x")]
    assert store.items.patch(patches) == [REPLACED, STORED, UNCHANGED, REPLACED, UNCHANGED]
    assert list(store.items.stream()) == [Item("x", "second", year=1), Item("y", attributes={"a": 1})]


@pytest.mark.parametrize(
    ("patch", "attributes"),
    [
        (Patch("x", {}, {"b": 9, "c": [], "a": None}), {"b": 9, "c": []}),
        (Patch("x", {"attributes": {}}, {"c": 3}), {"c": 3}),
        (Patch("x", {"attributes": {"c": 3}}), {"c": 3}),
        (Patch("x", {}, {"a": True}), {"a": True, "b": 2}),
        (Patch("x", {}, {"a": 1.0}), {"a": 1.0, "b": 2}),
        (Patch("x", {}, {"none": None}), {"a": 1, "b": 2}),
    ],
)
def test_attributes_merge(store: Store, patch: Patch, attributes: dict[str, AttributeValue]) -> None:
    before: dict[str, AttributeValue] = {"a": 1, "b": 2}
    store.items.record([Item("x", attributes=before)])
    store.users.record([User("x", attributes=before)])
    expected = UNCHANGED if repr(attributes) == repr(before) else REPLACED
    assert (store.items.patch([patch]), store.users.patch([patch])) == ([expected], [expected])
    item, user = store.items.get("x"), store.users.get("x")
    assert item is not None and user is not None  # noqa: PT018  for the type checker
    # By their text: 1, 1.0 and True are equal.
    assert repr(item.attributes) == repr(user.attributes) == repr(attributes)


def test_bare_until_put(store: Store) -> None:
    """An item is bare until it is put, with its id alone even; ratings and exports of bare items change nothing."""

    def bare() -> list[str]:
        return [item.item_id for item, is_bare, _ in store.items.stream_marked() if is_bare]

    store.ratings.record(incoming(("ann", "x", 3), ("ann", "y", 3)))
    assert bare() == ["x", "y"]
    assert store.items.patch([Patch("x"), Patch("x")]) == [REPLACED, UNCHANGED]
    assert store.items.patch([Patch("z", keeps_bare=True), Patch("x", keeps_bare=True)]) == [STORED, UNCHANGED]
    store.ratings.record(incoming(("ann", "x", 4)))
    assert bare() == ["y", "z"]
    _, parts, _ = changes_since(store, 0)
    assert [flag for part in parts for flag in part.is_bare.tolist()] == [True, False, True]


def test_rating_makes_bare_item(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3, 1)))
    assert store.items.get("x") == Item("x")
    assert store.users.get("ann") == User("ann")


def test_search_folds_case(store: Store) -> None:
    store.items.record([FULL, Item("y", title="100% wolf"), Item("z")])
    assert [item.item_id for _, item in store.items.page(search="ŁÓDŹ")] == ["x"]
    assert [item.item_id for _, item in store.items.page(search="0%")] == ["y"]
    assert [item.item_id for _, item in store.items.page(after=2)] == ["z"]


def test_changes_since(store: Store) -> None:
    store.items.record([Item("x"), Item("y"), Item("z")])
    version, parts, _ = changes_since(store, -1)
    assert [item_id for part in parts for item_id in part.item_id] == ["x", "y", "z"]
    store.items.record([Item("y", is_available=False)])
    store.items.delete("x")
    after, (changed,), deleted_keys = changes_since(store, version)
    assert (list(changed.item_id), changed.fields["is_available"].tolist()) == (["y"], [False])
    assert deleted_keys == [parts[0].item_key[0]]
    assert changes_since(store, after) == (after, [], [])


def test_columns_of_an_item(store: Store) -> None:
    store.items.record([Item("bare"), FULL])
    _, (columns,), _ = changes_since(store, -1)
    assert columns.fields["categories"] == [(), FULL.categories]
    assert columns.fields["attributes"] == [{}, FULL.attributes]
    assert np.array_equal(columns.fields["year"], [np.nan, 1905], equal_nan=True)
    assert columns.fields["available_until"].tolist() == [
        NEVER,
        to_microseconds(datetime(2030, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ]
    assert columns.fields["added_at"].tolist() == [UNKNOWN_TIME, to_microseconds(datetime(2020, 1, 1, tzinfo=UTC))]
    assert list(columns.fields["created_by"]) == [None, "ann"]


def changes_since(store: Store, version: int) -> tuple[int, list[CatalogueColumns], list[int]]:
    with store.items.changes_since(version) as changes:
        return changes.version, list(changes.parts), changes.deleted_keys


def test_delete_item_with_ratings(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3, 1), ("ann", "y", 3, 1)))
    assert store.items.delete("x")
    assert not store.items.delete("x")
    assert store.items.get("x") is None
    assert store.ratings.count() == 1
    assert store.users.freshness("ann").user_version == 3


def test_keys_are_never_reused(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3, 1)))
    (key, _), user_key = store.items.page()[0], store.users.freshness("ann").user_key
    store.items.delete("x")
    store.users.delete("ann")
    store.ratings.record(incoming(("ann", "x", 3, 1)))
    store.items.record([Item("x")])
    assert store.items.page()[0][0] != key
    assert store.users.freshness("ann").user_key != user_key


def test_user_round_trip(store: Store) -> None:
    user = User("ann", country="FI", attributes={"age": 31, "gender": "F"})
    assert store.users.record([user]) == [STORED]
    assert store.users.record([user]) == [UNCHANGED]
    assert store.users.patch([Patch("ann", {"country": "SE"})]) == [REPLACED]
    assert store.users.get("ann") == User("ann", country="SE", attributes={"age": 31, "gender": "F"})
    assert [each.user_id for each in store.users.stream()] == ["ann"]


def test_delete_user_leaves_nothing(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3, 1), ("bob", "x", 3, 1)))
    before = store.ratings.change_count()
    assert store.users.delete("ann")
    assert not store.users.delete("ann")
    assert store.ratings.count() == 1
    assert store.users.get("ann") is None
    assert store.ratings.change_count() == before + 1


def test_ids_of_keys(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3, 1)))
    ((key, _),) = store.items.page()
    assert store.items.ids_of([key, 999]) == {key: "x"}


def test_repeated_users(store: Store) -> None:
    patches = [Patch("a", {"country": "US"}), Patch("a", {"country": "FI"}, {"n": 1}), Patch("b"), Patch("b")]
    assert store.users.patch(patches) == [STORED, REPLACED, STORED, UNCHANGED]
    assert list(store.users.stream()) == [User("a", "FI", {"n": 1}), User("b")]
    assert [store.users.freshness(user_id).profile_version for user_id in "ab"] == [1, 0]


def test_profile_version_counts(store: Store) -> None:
    store.users.record([User("ann", country="FI")])
    assert store.users.freshness("ann").profile_version == 1
    store.users.record([User("ann", country="FI"), User("bob")])
    assert store.users.freshness("ann").profile_version == 1
    assert store.users.freshness("bob").profile_version == 0
    store.users.record([User("ann")])
    assert store.users.freshness("ann").profile_version == 2
    assert store.users.freshness("ann").user_version == 0
