"""What a side is made of."""

from types import MappingProxyType

import numpy as np
import pytest

from app.entities import EventType
from app.scoring import UserSide
from app.serving.interactions import EventTypeIndex, UserInteractions
from app.serving.user_state import UserState
from app.store.serving_reads import Interactions

SIDE = UserSide(np.zeros(1, np.float32), 0.0, 0.0)
CLICKED = MappingProxyType({1: EventType("clicked", 1.0)})


def clicked(*rows: int) -> UserInteractions:
    many = np.ones(len(rows), np.int64)
    items = np.array(rows, np.int64)
    return UserInteractions(
        Interactions(items, many, many, many, many, np.full(len(rows), np.nan)), items, EventTypeIndex(CLICKED)
    )


@pytest.mark.parametrize(
    ("strategy", "expected"), [("personalized", 5), ("fold_in", 5), ("popular", 0), ("profile", 0)]
)
def test_ratings_and_engagements_are_known(strategy: str, expected: int) -> None:
    """An item that was rated and clicked counts once; what is not the user's own side is made of nothing."""
    user = UserState(strategy, 1, SIDE, np.array([4, 7, 9]), np.array([3.0, 4.0, 5.0]), clicked(2, 7, 8))
    assert user.n_known == expected
