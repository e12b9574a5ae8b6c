"""A home page, on both databases."""

from pathlib import Path

import pytest

from app.entities import Item, Patch
from app.serving.home import FEWEST, Home
from app.settings import Settings
from app.store import Store
from app.wiring import Service
from tests.support.exploring import home
from tests.support.ratings import incoming
from tests.support.requests import happen, ids, place, recommended
from tests.support.trained import fill, train

NOW = 2_000_000_000_000_000


def row_ids(page: Home) -> list[str]:
    return [row.row_id for row in page.rows]


def shown(page: Home) -> list[str]:
    return [item_id for row in page.rows for item_id in ids(row)]


@pytest.mark.parametrize("user_id", ["user-0", "user-1", "nobody"])
@pytest.mark.parametrize("limit", [1, 4, 20, 100])
def test_no_item_twice_and_all_eligible(service: Service, user_id: str, limit: int) -> None:
    place(service, "other", filter='"all" in categories')
    service.store.items.patch([Patch("item-3", {"is_available": False})])
    page = home(service, user_id, 20, limit=limit, placement="other")
    eligible = set(ids(recommended(service, user_id, placement="other")))
    assert len(shown(page)) == len(set(shown(page)))
    assert set(shown(page)) <= eligible
    assert len(set(row_ids(page))) == len(page.rows)
    assert all(min(FEWEST, limit) <= len(row.items) <= limit for row in page.rows[1:])


def test_first_row_is_the_recommendations(service: Service) -> None:
    page = home(service)
    answer = recommended(service, limit=6)
    assert (page.strategy, page.snapshot_version) == (answer.strategy, 1)
    assert page.rows[0].title == "Picked for you"
    assert page.rows[0].items == answer.items
    assert service.tokens.read_recommendation_id(page.recommendation_id).placement == "home"


def test_kinds_of_rows(service: Service) -> None:
    page = home(service, limit=4, n_rows=20)
    event_types = [row_id.split(":")[0] for row_id in row_ids(page)]
    assert event_types[0] == "picked"
    assert {"liked", "category", "popular", "different"} <= set(event_types)
    assert event_types.count("liked") <= 2
    assert event_types.count("category") <= 3
    assert len(home(service, n_rows=3).rows) == 3
    assert row_ids(home(service, n_rows=3, limit=4)) == row_ids(page)[:3]


def test_because_you_liked(service: Service) -> None:
    """The one liked a moment ago comes first, by its title."""
    service.store.ratings.record(incoming(("user-0", "item-7", 5, NOW)))
    page = home(service, limit=4)
    (first, *_) = [row for row in page.rows if row.row_id.startswith("liked:")]
    assert (first.row_id, first.title) == ("liked:item-7", "Because you liked Item 7")
    assert all(item.sources == ["similar"] for item in first.items)


def test_country_trending_and_new(store: Store, settings: Settings, tmp_path: Path) -> None:
    fill(store)
    store.users.patch([Patch(f"user-{n}", {"country": "FI"}) for n in range(40)])
    train(store, tmp_path)
    service = Service.build(settings)
    service.store.items.record([Item(f"new-{n}") for n in range(5)])
    happen(service, "user-90", "bought", [f"unrated-{n}" for n in range(5)])
    service.serving.poll()
    page = home(service, limit=4, n_rows=20)
    titles = {row.row_id: row.title for row in page.rows}
    assert titles["country:FI"] == "Popular in FI"
    assert titles["trending"] == "Trending now"
    assert titles["newest"] == "New"
    (newest,) = [row for row in page.rows if row.row_id == "newest"]
    assert set(ids(newest)) <= {f"new-{n}" for n in range(5)}
    service.store.close()


def test_category_rows_hold_the_category(service: Service) -> None:
    page = home(service, limit=4, n_rows=20)
    for row in page.rows:
        if row.row_id in {"category:even", "category:odd"}:
            assert {int(item_id[5:]) % 2 for item_id in ids(row)} == {0 if row.row_id == "category:even" else 1}


def test_nobody_gets_what_is_popular(service: Service) -> None:
    page = home(service, "nobody", limit=4)
    assert (page.strategy, page.rows[0].title) == ("popular", "Popular")
    assert not {"popular", "different"} & set(row_ids(page))
    assert any(row_id.startswith("category:") for row_id in row_ids(page))


def test_deleted_meanwhile(service: Service) -> None:
    service.store.users.delete("user-0")
    assert home(service).strategy == "popular"


def test_before_a_snapshot(store: Store, settings: Settings) -> None:
    service = Service.build(settings)
    assert home(service).rows == []
    service.store.close()
    store.items.record([Item(f"i{n}", categories=("x",)) for n in range(12)])
    store.ratings.record(incoming(*((f"u{n}", f"i{n % 5}", 3, NOW) for n in range(9))))
    service = Service.build(settings)
    page = home(service, "u0", limit=3)
    assert (page.strategy, page.snapshot_version) == ("popular", None)
    assert len(page.rows) >= 2
    assert len(shown(page)) == len(set(shown(page)))
    assert "i0" not in shown(page)
    service.store.close()
