"""What is bought again and again is shown when it is due, and not before."""

import time

from app.serving.reranking.recurring import Recurring
from app.wiring import Service
from tests.serving.reranking.contract import USERS, OrderRuleContract
from tests.support.requests import happen, ids, place, recommended

DAY = 86_400_000_000
NOW = time.time_ns() // 1_000


def buy(service: Service, user_id: str, item_id: str, *days_ago: float) -> None:
    for days in days_ago:
        happen(service, user_id, "bought", [item_id], at=NOW - int(days * DAY))


class TestRecurring(OrderRuleContract):
    rule = Recurring
    settings = {"recurring": 0.2}

    def prepare(self, service: Service) -> None:
        for user_id in USERS:
            buy(service, user_id, "unrated-0", 30, 20, 10)


def test_due_by_the_own_interval(service: Service) -> None:
    place(service, recurring=0.2)
    buy(service, "user-0", "unrated-0", 30, 20, 10)  # every ten days: due today
    buy(service, "user-0", "unrated-1", 40, 21, 2)  # every nineteen: not yet
    buy(service, "user-0", "unrated-2", 5)  # once
    buy(service, "user-0", "unrated-3", 400, 390, 380)  # given up
    answer = recommended(service, limit=10)
    recurring = [item.item_id for item in answer.items if "recurring" in item.sources]
    assert recurring == ["unrated-0"]
    everything = ids(recommended(service))
    assert not {"unrated-1", "unrated-2", "unrated-3"} & set(everything)


def test_off_keeps_them_away(service: Service) -> None:
    buy(service, "user-0", "unrated-0", 30, 20, 10)
    assert "unrated-0" not in ids(recommended(service))


def test_filters_hold_for_them(service: Service) -> None:
    place(service, recurring=0.2)
    buy(service, "user-0", "unrated-0", 30, 20, 10)
    assert "unrated-0" not in ids(recommended(service, exclude=("unrated-0",)))
    assert "unrated-0" not in ids(recommended(service, categories=("even",)))
