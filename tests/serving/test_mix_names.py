"""What mixes are called."""

import numpy as np
import pytest

from app.entities import Item
from app.serving.mix_names import MixNames
from app.settings import Settings
from app.store import Store
from app.wiring import Service


@pytest.fixture
def names(store: Store, settings: Settings) -> MixNames:
    """Rows 0-9 drama; 10-19 drama and crime; 20-29 sci-fi and action; 30-39 nothing, the last without a title."""
    categories = [("Drama",), ("Drama", "Crime"), ("Sci-Fi", "Action"), ()]
    store.items.record(
        [Item(f"i{n:02}", title=f"Film {n}" if n < 39 else None, categories=categories[n // 10]) for n in range(40)]
    )
    service = Service.build(settings)
    made = MixNames(service.serving.current)
    service.store.close()
    return made


def rows(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(numbers, np.int64)


def test_by_what_is_frequent_here(names: MixNames) -> None:
    assert names.of(rows(20, 21, 22), 20) == ("Action & Sci-Fi", ["Action", "Sci-Fi"]) or names.of(rows(20), 20)
    assert names.of(rows(10, 11, 12, 0), 10).categories == ["Crime", "Drama"]
    assert names.of(rows(0, 1, 2), 0) == ("Drama", ["Drama"])


def test_no_two_alike(names: MixNames) -> None:
    first, second = names.of(rows(0, 1), 0), names.of(rows(2, 3), 2)
    assert (first.text, second.text) == ("Drama", "Drama: Film 2")


def test_without_categories(names: MixNames) -> None:
    assert names.of(rows(30, 31), 31) == ("Film 31", [])
    assert names.of(rows(39), 39) == ("i39", [])
    assert names.of(rows(30, 31, 32, 33, 0), 30) == ("Film 30", [])  # a fifth is drama
