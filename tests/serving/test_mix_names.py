"""What mixes are called."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.entities import Item
from app.serving.mix_names import MixName, MixNames
from app.serving.serving_state import ServingState
from app.settings import Settings
from app.store import Store
from app.wiring import Service

NONE: NDArray[np.int64] = np.empty(0, np.int64)


@pytest.fixture
def serving(store: Store, settings: Settings) -> ServingState:
    """Rows 0-9 drama; 10-19 drama and crime; 20-29 sci-fi and action; 30-39 nothing, the last without a title."""
    categories = [("Drama",), ("Drama", "Crime"), ("Sci-Fi", "Action"), ()]
    store.items.record(
        [Item(f"i{n:02}", title=f"Film {n}" if n < 39 else None, categories=categories[n // 10]) for n in range(40)]
    )
    return state_of(settings)


@pytest.fixture
def names(serving: ServingState) -> MixNames:
    return MixNames(serving)


def state_of(settings: Settings) -> ServingState:
    service = Service.build(settings)
    state = service.serving.current
    service.store.close()
    return state


def rows(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


def test_by_what_is_frequent_here(names: MixNames) -> None:
    assert names.of(rows(10, 11, 12, 0), rows(13, 14)).categories == ["Crime"]
    assert names.of(rows(0, 1, 2), rows(3, 4)) == MixName("Drama", ["Drama"])
    assert set(names.of(rows(20, 21, 22), NONE).categories) < {"Sci-Fi", "Action"}


def test_by_what_is_liked(names: MixNames) -> None:
    """However many items near to it are of another category."""
    assert names.of(rows(0, 1, 2), np.arange(20, 30)).categories == ["Drama"]


def test_two_together(names: MixNames) -> None:
    first, second = names.of(rows(10, 11), NONE), names.of(rows(12, 13), NONE)
    assert (first.categories, sorted(second.categories)) == (["Crime"], ["Crime", "Drama"])
    assert second.text == " & ".join(second.categories)


def test_no_two_alike(names: MixNames) -> None:
    assert [names.of(rows(first, 1), NONE).text for first in (0, 2, 2)] == [
        "Drama",
        "Drama: Film 2",
        "Drama: Film 2 (2)",
    ]
    assert [names.of(rows(30), NONE).text for _ in range(3)] == ["Film 30", "Film 30 (2)", "Film 30 (3)"]


def test_without_categories(names: MixNames) -> None:
    assert names.of(rows(31, 30), rows(32)) == MixName("Film 31", [])
    assert names.of(rows(39), NONE) == MixName("i39", [])
    assert names.of(rows(30, 31, 32, 33, 0), NONE) == MixName("Film 30", [])  # a fifth is drama


def test_common_to_all(store: Store, settings: Settings) -> None:
    """A category of all items tells nothing; that of half of them is the name."""
    store.items.record([Item(f"i{n}", title=f"Film {n}", categories=("all", "few")[: 1 + n % 2]) for n in range(30)])
    names = MixNames(state_of(settings))
    assert names.of(rows(1, 3, 5), rows(7, 9)) == MixName("few", ["few"])
    assert names.of(rows(2, 4, 6), rows(8, 10)) == MixName("Film 2", [])


def test_many_categories(store: Store, settings: Settings) -> None:
    many = tuple(f"tag {n}" for n in range(200))
    store.items.record([Item(f"i{n}", categories=many if n < 5 else ()) for n in range(30)])
    made = [MixNames(state_of(settings)).of(rows(0, 1, 2), rows(3, 4)) for _ in range(2)]
    assert made[0] == made[1]
    assert len(made[0].categories) == 1
