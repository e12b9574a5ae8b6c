"""Boosts of the placement and of the request."""

from app.serving.reranking.boost import Boosting
from app.wiring import Service
from tests.serving.reranking.contract import OrderRuleContract
from tests.support.requests import ids, place, recommended


class TestBoosting(OrderRuleContract):
    rule = Boosting
    settings = {"boost": '"odd" in categories -> 2; "even" in categories -> 0.5'}


def is_odd(item_id: str) -> bool:
    return item_id.startswith("item-") and int(item_id[5:]) % 2 == 1


def test_lifts_and_sinks(service: Service) -> None:
    plain = ids(recommended(service, limit=20))
    boosted = ids(recommended(service, limit=20, boost='"odd" in categories -> 3'))
    sunk = ids(recommended(service, limit=20, boost='"odd" in categories -> 0.2'))
    n_odd = [sum(map(is_odd, some)) for some in (sunk, plain, boosted)]
    assert n_odd[0] < n_odd[1] < n_odd[2]


def test_order_within_stays(service: Service) -> None:
    plain = [item_id for item_id in ids(recommended(service)) if is_odd(item_id)]
    boosted = [item_id for item_id in ids(recommended(service, boost='"odd" in categories -> 3')) if is_odd(item_id)]
    assert boosted == plain


def test_factor_one_changes_nothing(service: Service) -> None:
    assert ids(recommended(service, boost='"odd" in categories -> 1')) == ids(recommended(service))


def test_far_below_is_found(service: Service) -> None:
    """What a boost lifts need not be among the nearest: the last but one of all comes first."""
    low = ids(recommended(service))[-2]
    assert ids(recommended(service, limit=1, boost=f'item_id = "{low}" -> 100')) == [low]


def test_both_multiply(service: Service) -> None:
    plain = ids(recommended(service))
    place(service, boost='"odd" in categories -> 2')
    assert ids(recommended(service, boost='"odd" in categories -> 0.5')) == plain
