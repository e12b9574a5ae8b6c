"""The parts of what a user likes, on both databases."""

from collections import Counter

import pytest

from app.entities import Item, Patch
from app.serving.mixes import LEAST_LIKED, Mixes
from app.settings import Settings
from app.store import Store
from app.wiring import Service
from tests.support.exploring import categories_of, home, mixes
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
    service.store.items.patch([Patch("item-3", {"is_available": False})])
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


@pytest.mark.parametrize("user_id", [f"user-{n}" for n in range(6)] + ["nobody"])
def test_items_have_a_named_category(service: Service, user_id: str) -> None:
    for mix in mixes(service, user_id, limit=20).mixes:
        assert mix.categories
        categories = [categories_of(service, item_id) for item_id in ids(mix)]
        assert all(not each.isdisjoint(mix.categories) for each in categories)
        share = sum(each >= set(mix.categories) for each in categories) / len(categories)
        assert mix.category_share == pytest.approx(share, abs=1e-3)


def test_likes_of_one_category(service: Service) -> None:
    even = [f"item-{n}" for n in range(0, 40, 2)]
    service.store.ratings.record(incoming(*(("even", item_id, 5, NOW) for item_id in even)))
    page = mixes(service, "even", limit=20)
    assert page.mixes[0].categories == ["even"]
    assert {int(item_id[5:]) % 2 for item_id in ids(page.mixes[0])} == {0}
    assert not set(shown(page)) & set(even)


def test_after_an_item_without_categories(service: Service) -> None:
    """Such a mix may hold any items."""
    service.store.items.patch([Patch(f"item-{n}", {"categories": ()}) for n in range(60)])
    page = mixes(service)
    titles = {f"Item {item_id[5:]}" for item_id in liked(service, "user-0")}
    assert page.mixes
    assert {mix.name for mix in page.mixes} <= titles
    assert all((mix.categories, mix.category_share) == ([], None) for mix in page.mixes)
    assert all(mix.name == f"Item {mix.because[0][5:]}" for mix in page.mixes)


def test_category_of_all_items(service: Service) -> None:
    """It names no mix and no row, unless there is no other."""
    service.store.items.patch([Patch(f"unrated-{n}", {"categories": ("all",)}) for n in range(5)])
    assert all("all" not in mix.categories for user in ("user-0", "nobody") for mix in mixes(service, user).mixes)
    assert "category:all" not in {row.row_id for row in home(service, "user-0", 20, limit=4).rows}
    service.store.items.patch([Patch(f"item-{n}", {"categories": ("all",)}) for n in range(60)])
    assert [mix.name for mix in mixes(service, "nobody").mixes] == ["all"]


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
