"""No more than so many of a category."""

from collections import Counter

from app.entities import Item, Patch
from app.serving.reranking.category_cap import CategoryCap
from app.wiring import Service
from tests.serving.reranking.contract import OrderRuleContract
from tests.support.requests import ids, place, recommended
from tests.support.trained import N_RATED


class TestCategoryCap(OrderRuleContract):
    rule = CategoryCap
    settings = {"category_cap": 2}


def sort_into(service: Service, n_categories: int) -> None:
    service.store.items.patch([Patch(f"item-{n}", {"categories": (f"c{n % n_categories}",)}) for n in range(N_RATED)])


def test_cap_holds_while_it_can(service: Service) -> None:
    """Although the candidates run out: the index adds items of other categories."""
    sort_into(service, 10)
    place(service, category_cap=1)
    answer = recommended(service, limit=10)
    counts = Counter(
        category
        for item in answer.items
        for category in (service.store.items.get(item.item_id) or Item("x")).categories
    )
    assert len(answer.items) == 10
    assert max(counts.values()) == 1


def test_fills_up_when_it_cannot(service: Service) -> None:
    sort_into(service, 2)
    place(service, category_cap=2)
    capped = ids(recommended(service, limit=20))
    assert len(capped) == 20
    plain_best = recommended(service, limit=1).items[0].item_id
    assert capped[0] == plain_best
