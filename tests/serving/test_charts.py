"""Charts, on both databases, with a snapshot and without."""

import time
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.entities import Item, Patch, User
from app.serving.charts import Chart, UnknownChartError
from app.serving.retrieval.newest import NewestSource
from app.settings import Settings
from app.store import Store
from app.wiring import Service
from tests.support.exploring import chart
from tests.support.ratings import incoming
from tests.support.requests import context_of, happen, ids, recommended
from tests.support.trained import fill, train
from tests.support.user_states import DAY, tasteful_ratings

NOW = time.time_ns() // 1_000
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def pages(service: Service, name: str, limit: int, **options: Any) -> Iterator[Chart]:
    cursor = None
    while True:
        page = chart(service, name, cursor, limit=limit, **options)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


def counted(page: Chart) -> dict[str, tuple[int, int]]:
    """Item -> ratings and likes, of a chart of popular items."""
    return {item.item_id: (item.ratings, item.likes) for item in page.items}  # type: ignore[union-attr]


def expected(users: Collection[str]) -> dict[str, tuple[int, int]]:
    """As `counted`, of all items that some of these users liked."""
    given = tasteful_ratings()
    rows = list(zip(given.user_id, given.item_id, given.value.tolist(), strict=True))
    rated = Counter(item for user, item, _ in rows if user in users)
    liked = Counter(item for user, item, value in rows if user in users and value >= 4)
    return {item: (rated[item], liked[item]) for item in liked}


def test_popular_counts_likes(service: Service) -> None:
    page = chart(service, "popular", limit=100)
    assert counted(page) == expected({f"user-{n}" for n in range(120)})
    likes = [n_likes for _, n_likes in counted(page).values()]
    assert likes == sorted(likes, reverse=True)
    assert [item.rank for item in page.items] == list(range(1, len(likes) + 1))
    assert (page.chart, page.snapshot_version, page.next_cursor) == ("popular", 1, None)


@pytest.mark.parametrize("name", ["popular", "newest", "trending"])
def test_pages_neither_repeat_nor_skip(service: Service, name: str) -> None:
    service.store.ratings.record(incoming(*(("u", f"item-{n}", 3, NOW - n * DAY // 9) for n in range(60))))
    service.serving.poll()
    shown = [item for page in pages(service, name, 7) for item in page.items]
    whole = ids(chart(service, name, limit=100))
    assert [item.item_id for item in shown] == whole
    assert [item.rank for item in shown] == list(range(1, len(whole) + 1))


def test_pages_while_things_rise(service: Service) -> None:
    """What overtakes a page already returned comes on the next one."""
    first = chart(service, "trending", limit=5)
    (late, *_) = [item for item in ids(chart(service, "trending", limit=50)) if item not in ids(first)][-1:]
    happen(service, "user-0", "bought", [late, first.items[0].item_id], times=50)
    second = chart(service, "trending", first.next_cursor, limit=5)
    assert ids(second)[0] == late
    assert not set(ids(first)) & set(ids(second))


def test_conditions(service: Service) -> None:
    for name in ("popular", "trending", "newest"):
        whole = ids(chart(service, name, limit=100))
        even = [item_id for item_id in whole if item_id.startswith("item-") and int(item_id[5:]) % 2 == 0]
        assert ids(chart(service, name, limit=100, categories=("even",))) == even
        assert ids(chart(service, name, limit=100, filter_text='"even" in categories')) == even
        assert ids(chart(service, name, limit=100, categories=("no such",))) == []
        service.store.items.patch([Patch(even[0], {"is_available": False})])
        assert even[0] not in ids(chart(service, name, limit=100))
        service.store.items.patch([Patch(even[0], {"is_available": True})])


def test_trending_is_what_is_done_now(service: Service) -> None:
    service.store.users.record([User("ann", country="FI"), User("bob", country="SE")])
    happen(service, "ann", "bought", ["item-3"], at=NOW)
    happen(service, "bob", "bought", ["item-4", "unrated-1"], at=NOW - 3 * DAY)
    page = chart(service, "trending", limit=3)
    assert ids(page)[0] == "item-3"
    assert page.items[0].heat == pytest.approx(3, rel=0.01)  # type: ignore[union-attr]
    assert page.items[1].heat == pytest.approx(1.5, rel=0.01)  # type: ignore[union-attr]
    assert ids(chart(service, "trending", country="FI")) == ["item-3"]
    assert set(ids(chart(service, "trending", country="SE"))) == {"item-4", "unrated-1"}
    nowhere = chart(service, "trending", country="XX")
    assert (ids(nowhere), nowhere.notes) == ([], ["no eligible item is trending in the country 'XX'"])


def test_newest_by_time_added(service: Service) -> None:
    added = [Item(f"new-{n}", title=f"New {n}", added_at=EPOCH + timedelta(hours=n)) for n in (2, 0, 3, 1)]
    service.store.items.record(added)
    page = chart(service, "newest", limit=5, country="FI")
    assert ids(page)[:4] == ["new-3", "new-2", "new-1", "new-0"]
    assert page.items[0].added_at == EPOCH + timedelta(hours=3)  # type: ignore[union-attr]
    assert page.items[4].added_at is None  # type: ignore[union-attr]


def test_bare_items(service: Service) -> None:
    """In what is popular, trending and listed, but not in what is new, as long as other items have been put."""
    happen(service, "user-0", "bought", ["mistyped"], times=50)
    assert ids(chart(service, "trending"))[0] == "mistyped"
    assert "mistyped" not in ids(chart(service, "newest", limit=100))
    context = context_of(service, "user-1")
    mistyped = context.serving.catalogue.row_of_id("mistyped")
    assert mistyped not in NewestSource().candidates(context)
    assert context.eligible.mask[mistyped]
    service.store.items.record([Item("mistyped")])
    assert ids(chart(service, "newest"))[0] == "mistyped"


def test_unknown_chart(service: Service) -> None:
    with pytest.raises(UnknownChartError, match="popular, trending, newest"):
        chart(service, "worst")


def test_before_a_snapshot(store: Store, settings: Settings) -> None:
    rows = [(f"u{n}", item, 4, NOW) for item, k in (("a", 1), ("b", 3), ("c", 2)) for n in range(k)]
    disliked = [(f"u{n}", "low", 1, NOW) for n in range(9)]
    store.ratings.record(incoming(*rows, *disliked))
    store.items.record([Item("d", added_at=EPOCH)])
    service = Service.build(settings)
    popular = chart(service, "popular")
    assert counted(popular) == {"b": (3, 3), "c": (2, 2), "a": (1, 1)}
    assert ids(popular) == ["b", "c", "a"]
    assert popular.snapshot_version is None
    assert ids(recommended(service, "nobody", limit=3)) == ["b", "c", "a"]
    assert ids(chart(service, "popular", country="FI")) == []
    assert ids(chart(service, "newest"))[0] == "d"
    # Events count as well, from the next poll on.
    happen(service, "u9", "liked", ["c"])
    happen(service, "u8", "liked", ["c"])
    service.serving.poll()
    assert ids(chart(service, "popular")) == ["c", "b", "a"]
    service.store.close()


def test_popular_in_a_country(store: Store, settings: Settings, tmp_path: Any) -> None:
    fill(store)
    store.users.patch([Patch(f"user-{n}", {"country": "FI" if n < 30 else "SE"}) for n in range(60)])
    train(store, tmp_path)
    service = Service.build(settings)
    page = chart(service, "popular", limit=100, country="FI")
    assert counted(page) == expected({f"user-{n}" for n in range(30)})
    assert ids(chart(service, "popular", country="XX")) == []
    service.store.close()
