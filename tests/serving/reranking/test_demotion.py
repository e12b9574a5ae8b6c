"""What the placement demotes sinks."""

from app.serving.reranking.demotion import Demotion
from app.wiring import Service
from tests.serving.reranking.contract import OrderRuleContract
from tests.support.requests import ids, place, recommended


class TestDemotion(OrderRuleContract):
    rule = Demotion
    settings = {"demote": '"odd" in categories', "demotion": 0.5}


def test_sinks_by_as_much(service: Service) -> None:
    first = ids(recommended(service))[0]
    places = []
    for demotion in (0.0, 0.1, 1.0):
        place(service, demote=f'item_id = "{first}"', demotion=demotion)
        places.append(ids(recommended(service)).index(first))
    assert places[0] == 0 < places[1] < places[2]
    assert places[2] >= len(recommended(service).items) - 2
