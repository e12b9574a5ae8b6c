"""The parts of what a user likes, on both databases."""

from collections import Counter

import pytest

from app.entities import Item
from app.serving.mixes import LEAST_LIKED, Mixes
from app.settings import Settings
from app.store import Store
from app.wiring import Service
from tests.support.exploring import mixes
from tests.support.ratings import incoming
from tests.support.requests import ids, place, recommended

NOW = 2_000_000_000_000_000


def shown(page: Mixes) -> list[str]:
    return [item_id for mix in page.mixes for item_id in ids(mix)]


def liked(service: Service, user_id: str) -> set[str]:
    return {rating.item_id for _, rating in service.store.ratings.page(user_id) if rating.value >= 4}


@pytest.mark.parametrize("user_id", ["user-0", "user-2", "nobody"])
@pytest.mark.parametrize(("n_mixes", "limit"), [(1, 5), (6, 3), (20, 100)])
def test_no_item_twice_and_all_eligible(service: Service, user_id: str, n_mixes: int, limit: int) -> None:
    place(service, "other", filter='"all" in categories')
    service.store.items.record([Item("item-3", is_available=False)], {"is_available"})
    page = mixes(service, user_id, n_mixes, limit=limit, placement="other")
    assert 1 <= len(page.mixes) <= n_mixes
    assert len(shown(page)) == len(set(shown(page)))
    assert set(shown(page)) <= set(ids(recommended(service, user_id, placement="other")))
    assert all(1 <= len(mix.items) <= limit for mix in page.mixes)
    assert len({mix.name for mix in page.mixes}) == len(page.mixes)


def test_made_of_what_is_liked(service: Service) -> None:
    page = mixes(service)
    reasons = Counter(item_id for mix in page.mixes for item_id in mix.because)
    assert set(reasons) <= liked(service, "user-0")
    assert set(reasons.values()) == {1}
    assert len(page.mixes) <= max(len(liked(service, "user-0")) // LEAST_LIKED, 1)
    assert (page.strategy, page.snapshot_version) == ("personalized", 1)


def test_ordered_by_score(service: Service) -> None:
    for mix in mixes(service, limit=20).mixes:
        scores = [item.score for item in mix.items]
        assert scores == sorted(scores, reverse=True)


def test_same_twice(service: Service) -> None:
    assert mixes(service).mixes == mixes(service).mixes


def test_small_taste_is_one(service: Service) -> None:
    service.store.ratings.record(incoming(("begins", "item-7", 5, NOW)))
    (mix,) = mixes(service, "begins").mixes
    assert mix.because == ["item-7"]
    assert "item-7" not in ids(mix)


def test_read_own_writes(service: Service) -> None:
    first = ids(mixes(service).mixes[0])[0]
    service.store.ratings.record(incoming(("user-0", first, 1, NOW)))
    assert first not in shown(mixes(service))


def test_nobody_gets_popular_categories(service: Service) -> None:
    page = mixes(service, "nobody")
    assert page.strategy == "popular"
    assert {mix.name for mix in page.mixes} <= {"all", "even", "odd"}
    assert all(mix.because == [] for mix in page.mixes)


def test_before_a_snapshot(store: Store, settings: Settings) -> None:
    service = Service.build(settings)
    assert mixes(service).mixes == []
    service.store.close()
    store.items.record([Item(f"i{n}", categories=("x" if n % 2 else "y",)) for n in range(12)])
    store.ratings.record(incoming(("u0", "i0", 5, NOW)))
    service = Service.build(settings)
    page = mixes(service, "u0")
    assert {mix.name for mix in page.mixes} == {"x", "y"}
    assert "i0" not in shown(page)
    service.store.close()
