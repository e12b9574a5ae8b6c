"""What was added lately rises."""

from datetime import UTC, datetime, timedelta

from app.entities import Patch
from app.serving.reranking.freshness import Freshness
from app.wiring import Service
from tests.serving.reranking.contract import OrderRuleContract
from tests.support.requests import ids, place, recommended


class TestFreshness(OrderRuleContract):
    rule = Freshness
    settings = {"freshness": 1.0}

    def prepare(self, service: Service) -> None:
        service.store.items.patch([Patch("item-3", {"added_at": datetime.now(UTC)})])


def test_new_rises_old_does_not(service: Service) -> None:
    plain = ids(recommended(service))
    new, old = plain[20], plain[30]
    service.store.items.patch([Patch(new, {"added_at": datetime.now(UTC)})])
    service.store.items.patch([Patch(old, {"added_at": datetime.now(UTC) - timedelta(days=3_000)})])
    place(service, freshness=1.0)
    fresh = ids(recommended(service))
    assert fresh.index(new) < 20
    assert [item_id for item_id in fresh if item_id != new] == [item_id for item_id in plain if item_id != new]
