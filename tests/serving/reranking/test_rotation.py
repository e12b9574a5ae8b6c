"""What was just shown sinks, and comes back."""

import time

from app.serving.reranking.rotation import Rotation
from app.wiring import Service
from tests.serving.reranking.contract import USERS, OrderRuleContract
from tests.support.requests import context_of, happen, ids, place, recommended

HOUR = 3_600_000_000


class TestRotation(OrderRuleContract):
    rule = Rotation
    settings = {"rotation": 0.9}

    def prepare(self, service: Service) -> None:
        for user_id in USERS:
            happen(service, user_id, "shown", ids(recommended(service, user_id, limit=5)))

    def test_off_by_default(self, service: Service) -> None:
        """On by default, for users with shown items."""
        place(service)
        assert self.on_for(context_of(service))
        assert not self.on_for(context_of(service, "user-9"))


def test_shown_items_sink(service: Service) -> None:
    place(service, rotation=1.0)
    first = ids(recommended(service, limit=3))
    happen(service, "user-0", "shown", first, times=6)
    again = ids(recommended(service, limit=3))
    assert not set(first) & set(again)
    assert ids(recommended(service, "user-1")) == ids(recommended(service, "user-1"))


def test_they_come_back(service: Service) -> None:
    place(service, rotation=1.0, rotation_half_life_hours=1)
    first = ids(recommended(service, limit=3))
    happen(service, "user-0", "shown", first, at=time.time_ns() // 1_000 - 50 * HOUR)
    assert ids(recommended(service, limit=3)) == first


def test_off_leaves_the_list(service: Service) -> None:
    place(service, rotation=0.0)
    first = ids(recommended(service, limit=3))
    happen(service, "user-0", "shown", first)
    assert ids(recommended(service, limit=3)) == first
