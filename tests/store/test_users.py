"""Finding users by a part of their id, whatever its case and accents."""

import pytest

from app.entities import User
from app.store import Store

IDS = ["Anna", "BÄNA", "\u212aelvin", "kim", "ЖУК-1", "жук-2", "日本"]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("NA", ["Anna", "BÄNA"]),
        ("ban", ["BÄNA"]),
        ("k", ["\u212aelvin", "kim"]),  # the sign of Kelvin is a K
        ("Жук", ["ЖУК-1", "жук-2"]),
        ("本", ["日本"]),
        ("%", []),
    ],
)
def test_part_of_an_id(store: Store, search: str, found: list[str]) -> None:
    store.users.record([User(each) for each in IDS])
    assert [user.user_id for _, user in store.users.page(search=search)] == found
    (_, first), *rest = store.users.page(search=search, limit=1) or [(0, User("none"))]
    assert (first.user_id, rest) == (found[0] if found else "none", [])
