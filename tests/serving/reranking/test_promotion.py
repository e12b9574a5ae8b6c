"""Promoted items: a share of the slots, marked."""

from app.serving.reranking.promotion import Promotion
from app.wiring import Service
from tests.serving.reranking.contract import OrderRuleContract
from tests.support.requests import ids, place, recommended

ODD = '"odd" in categories'


class TestPromotion(OrderRuleContract):
    rule = Promotion
    settings = {"promote": ODD, "promoted_share": 0.3}


def test_share_of_slots_is_marked(service: Service) -> None:
    place(service, promote=ODD, promoted_share=0.3)
    answer = recommended(service, limit=20)
    promoted = [item for item in answer.items if "promoted" in item.sources]
    assert len(promoted) == 6
    assert all(int(item.item_id[5:]) % 2 == 1 for item in promoted)


def test_others_keep_their_order(service: Service) -> None:
    plain = ids(recommended(service))
    place(service, promote=f'item_id = "{plain[-1]}"', promoted_share=0.2)
    assert [item_id for item_id in ids(recommended(service)) if item_id != plain[-1]] == plain[:-1]
    assert plain[-1] in ids(recommended(service, limit=10))


def test_best_is_not_pushed_down(service: Service) -> None:
    first = ids(recommended(service))[0]
    place(service, promote=f'item_id = "{first}"', promoted_share=0.1)
    answer = recommended(service, limit=10)
    assert answer.items[0].item_id == first
    assert "promoted" in answer.items[0].sources


def test_unavailable_is_not_promoted(service: Service) -> None:
    first = ids(recommended(service))[0]
    place(service, promote=f'item_id = "{first}"')
    assert first not in ids(recommended(service, exclude=(first,)))
