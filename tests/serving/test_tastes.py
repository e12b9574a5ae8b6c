"""What a side is made of."""

from types import MappingProxyType

import numpy as np
import pytest

from app.entities import EventType
from app.serving.behaviour import Behaviour, Kinds
from app.serving.tastes import Taste
from app.store.events import Interactions

CLICKED = MappingProxyType({1: EventType("clicked", 1.0)})


def clicked(*rows: int) -> Behaviour:
    many = np.ones(len(rows), np.int64)
    items = np.array(rows, np.int64)
    return Behaviour(Interactions(items, many, many, many, many, np.full(len(rows), np.nan)), items, Kinds(CLICKED))


@pytest.mark.parametrize(
    ("strategy", "expected"), [("personalized", 5), ("fold_in", 5), ("popular", 0), ("profile", 0)]
)
def test_ratings_and_engagements_are_known(strategy: str, expected: int) -> None:
    """An item that was rated and clicked counts once; what is not the user's own side is made of nothing."""
    taste = Taste(strategy, 1, None, np.array([4, 7, 9]), np.array([3.0, 4.0, 5.0]), clicked(2, 7, 8))
    assert taste.n_known == expected
