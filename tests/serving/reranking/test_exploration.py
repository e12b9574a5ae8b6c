"""A share of the slots for what few have rated."""

from app.serving.reranking.exploration import Exploration
from app.wiring import Service
from tests.serving.reranking.contract import OrderRuleContract
from tests.support.requests import ids, place, recommended


class TestExploration(OrderRuleContract):
    rule = Exploration
    settings = {"exploration": 0.2}


def test_little_known_items_get_slots(service: Service) -> None:
    place(service, exploration=0.2)
    answer = recommended(service, limit=10)
    explored = [item.item_id for item in answer.items if "exploration" in item.sources]
    assert len(explored) == 2
    snapshot, catalogue = service.serving.current.scorer, service.serving.current.catalogue
    assert snapshot is not None
    assert (snapshot.arrays.item_counts[catalogue.rows_of_ids(explored)] < 10).all()


def test_same_within_the_hour(service: Service) -> None:
    place(service, exploration=0.4)
    assert ids(recommended(service, limit=10)) == ids(recommended(service, limit=10))
