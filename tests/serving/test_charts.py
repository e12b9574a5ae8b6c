"""Charts, on both databases, with a snapshot and without."""

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.entities import Item, User
from app.serving.charts import Chart, UnknownChartError
from app.settings import Settings
from app.store import Store
from app.wiring import Service
from tests.support.exploring import chart
from tests.support.ratings import incoming
from tests.support.requests import happen, ids
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


def test_popular_counts_ratings(service: Service) -> None:
    counts = Counter(tasteful_ratings().item_id)
    page = chart(service, "popular", limit=100)
    assert {item.item_id: item.ratings for item in page.items} == counts  # type: ignore[union-attr]
    ratings = [item.ratings for item in page.items]  # type: ignore[union-attr]
    assert ratings == sorted(ratings, reverse=True)
    assert [item.rank for item in page.items] == list(range(1, len(counts) + 1))
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
        assert ids(chart(service, name, limit=100, category="even")) == even
        assert ids(chart(service, name, limit=100, filter_text='"even" in categories')) == even
        assert ids(chart(service, name, limit=100, category="no such")) == []
        service.store.items.record([Item(even[0], is_available=False)], {"is_available"})
        assert even[0] not in ids(chart(service, name, limit=100))
        service.store.items.record([Item(even[0])], {"is_available"})


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
    assert ids(chart(service, "trending", country="XX")) == []


def test_newest_by_time_added(service: Service) -> None:
    added = [Item(f"new-{n}", title=f"New {n}", added_at=EPOCH + timedelta(hours=n)) for n in (2, 0, 3, 1)]
    service.store.items.record(added)
    page = chart(service, "newest", limit=5, country="FI")
    assert ids(page)[:4] == ["new-3", "new-2", "new-1", "new-0"]
    assert page.items[0].added_at == EPOCH + timedelta(hours=3)  # type: ignore[union-attr]
    assert page.items[4].added_at is None  # type: ignore[union-attr]


def test_unknown_chart(service: Service) -> None:
    with pytest.raises(UnknownChartError, match="popular, trending, newest"):
        chart(service, "worst")


def test_before_a_snapshot(store: Store, settings: Settings) -> None:
    rows = [(f"u{n}", item, 3, NOW) for item, k in (("a", 1), ("b", 3), ("c", 2)) for n in range(k)]
    store.ratings.record(incoming(*rows))
    store.items.record([Item("d", added_at=EPOCH)])
    service = Service.build(settings)
    popular = chart(service, "popular")
    assert [(item.item_id, item.ratings) for item in popular.items] == [("b", 3), ("c", 2), ("a", 1)]  # type: ignore[union-attr]
    assert popular.snapshot_version is None
    assert ids(chart(service, "popular", country="FI")) == []
    assert ids(chart(service, "trending"))[0] == "b"
    assert ids(chart(service, "newest"))[0] == "d"
    service.store.close()


def test_popular_in_a_country(store: Store, settings: Settings, tmp_path: Any) -> None:
    fill(store)
    store.users.record([User(f"user-{n}", country="FI" if n < 30 else "SE") for n in range(60)], {"country"})
    train(store, tmp_path)
    service = Service.build(settings)
    given = tasteful_ratings()
    counts = Counter(item for user, item in zip(given.user_id, given.item_id, strict=True) if int(user[5:]) < 30)
    page = chart(service, "popular", limit=100, country="FI")
    assert {item.item_id: item.ratings for item in page.items} == counts  # type: ignore[union-attr]
    assert ids(chart(service, "popular", country="XX")) == []
    service.store.close()
