from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.algorithms.rating_matrix import RatingMatrix
from app.entities import User
from app.scoring import groups as groups_file
from app.scoring.groups import Memberships, PopularInGroups, groups_of

FI, SE = ("country", "FI"), ("country", "SE")


def liked_by(*rows: list[int], n_items: int = 5) -> RatingMatrix:
    """The rows that each user liked; the next row of each was rated and not liked."""
    values = np.zeros((len(rows), n_items), np.float32)
    for user, items in enumerate(rows):
        values[user, [(item + 1) % n_items for item in items]] = 3
    for user, items in enumerate(rows):
        values[user, items] = 4
    rated_by, rated = np.nonzero(values)
    return RatingMatrix(len(rows), n_items, rated_by, rated, values[rated_by, rated], liked_from=4.0)


def listed(popular: PopularInGroups, number: int) -> list[tuple[int, int]]:
    own = slice(popular.starts[number], popular.starts[number + 1])
    return list(zip(popular.rows[own].tolist(), popular.like_counts[own].tolist(), strict=True))


def test_worked_example() -> None:
    users = [User("a", "FI"), User("b", "FI"), User("c", "SE"), User("d"), User("e", "NO")]
    liked = liked_by([1, 4], [4, 2], [0], [3], [])
    popular = PopularInGroups.from_memberships(Memberships.from_users(users, ["country"]), liked)
    assert popular.groups == (FI, SE)  # no user from NO liked anything
    assert listed(popular, 0) == [(4, 2), (1, 1), (2, 1)]
    assert listed(popular, 1) == [(0, 1)]
    assert popular.counts[:3].tolist() == [2, 1, 2]  # user 0 rated row 2 as well
    assert popular.user_starts.tolist() == [0, 1, 2, 3, 3, 3]
    assert popular.user_groups.tolist() == [0, 0, 1]


@settings(max_examples=50)
@given(st.integers(0, 20), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_counts_as_by_hand(n_users: int, n_items: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(n_items)[: rng.integers(0, n_items + 1)].tolist() for _ in range(n_users)]
    users = [User(str(n), None, {"likes": list(rng.permutation(["x", "y", "z"])[: n % 4])}) for n in range(n_users)]
    popular = PopularInGroups.from_memberships(
        Memberships.from_users(users, ["likes"]), liked_by(*rows, n_items=n_items)
    )
    expected: dict[tuple[str, str], Counter[int]] = {}
    for user, items in zip(users, rows, strict=True):
        for group in groups_of(user, ["likes"]):
            expected.setdefault(group, Counter()).update(items)
    assert set(popular.groups) == {group for group, counts in expected.items() if counts}
    for number, group in enumerate(popular.groups):
        assert listed(popular, number) == sorted(expected[group].items(), key=lambda entry: (-entry[1], entry[0]))
    for row, user in enumerate(users):
        own = popular.user_groups[popular.user_starts[row] : popular.user_starts[row + 1]]
        assert {popular.groups[number] for number in own} == set(groups_of(user, ["likes"])) & set(popular.groups)


def test_values_of_every_kind() -> None:
    of_user: dict[str, Any] = {"plan": "gold", "tags": ["x", "y", "x"], "is_new": True, "stars": 3.0, "country": "none"}
    user = User("a", "FI", of_user)
    names = ["country", "plan", "tags", "is_new", "stars", "attributes.country", "absent"]
    assert groups_of(user, names) == [
        FI,
        ("plan", "gold"),
        ("tags", "x"),
        ("tags", "y"),
        ("is_new", "true"),
        ("stars", "3"),
        ("attributes.country", "none"),
    ]


def test_measures_are_no_groups() -> None:
    few = [User(str(n), None, {"age": n % 20}) for n in range(60)]
    assert len(Memberships.from_users(few, ["age"]).groups) == 20
    many = [User(str(n), None, {"age": n % 21 if n else "unknown"}) for n in range(60)]
    assert Memberships.from_users(many, ["age"]).groups == (("age", "unknown"),)


def test_long_texts_are_no_groups() -> None:
    users = [User("a", None, {"about": "x" * 129}), User("b", None, {"about": ""})]
    assert Memberships.from_users(users, ["about"]).groups == ()


def test_largest_groups_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    users = [User(str(n), "ABCD"[n % 4]) for n in range(12)]
    liked = liked_by(*([n % 5] if n % 4 == 3 else list(range(n % 4 + 2)) for n in range(12)))
    memberships = Memberships.from_users(users, ["country"])
    with_most = PopularInGroups.from_memberships(memberships, liked)
    assert [value for _, value in with_most.groups] == ["A", "B", "C", "D"]
    monkeypatch.setattr(groups_file, "MAX_GROUPS", 2)
    monkeypatch.setattr(groups_file, "MAX_GROUP_ITEMS", 3)
    cut = PopularInGroups.from_memberships(memberships, liked)
    assert [value for _, value in cut.groups] == ["B", "C"]
    assert listed(cut, 1) == listed(with_most, 2)[:3]
    assert cut.user_groups.tolist() == [0, 1] * 3


def test_nobody_has_groups() -> None:
    popular = PopularInGroups.from_memberships(Memberships(), liked_by([1], []))
    assert popular.groups == ()
    assert popular.starts.tolist() == [0]
    assert popular.user_starts.tolist() == [0, 0, 0]
    assert {array.dtype.name for array in popular.arrays.values()} == {"int32", "int64"}
