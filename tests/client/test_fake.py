"""The fake: it stores what is written and answers the lists that a test sets."""

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from app.client import (
    ConnectionFailedError,
    Event,
    FakeReckon,
    Home,
    HomeRow,
    NotFoundError,
    Rating,
    Reckon,
    RecommendedItem,
    Retries,
    SimilarItem,
    SimilarItems,
    UnavailableError,
)
from tests.client.conftest import Fake

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def ids(items: Iterable[RecommendedItem]) -> list[str]:
    return [item.item_id for item in items]


def test_stored_as_written(fake: Fake) -> None:
    reckon, _ = fake
    item = reckon.put_item("Łódź %", title="A", categories=["Drama"], attributes={"minutes": 12.5}, added_at=MOMENT)
    assert (item.item_id, item.added_at, dict(item.attributes)) == ("Łódź %", MOMENT, {"minutes": 12.5})
    assert reckon.item("Łódź %") == item
    user = reckon.put_user("ann", country="FI")
    assert (user, user.country) == (reckon.user("ann"), "FI")
    assert reckon.rate("ann", "x", 9, MOMENT).rated_at == MOMENT
    sent = reckon.rate_many([Rating("ann", "y", 1), Rating("bob", "y", 2)])
    assert (sent.stored, sent.rejected) == (2, ())
    assert [(each.item_id, each.value) for each in reckon.iter_ratings("ann", page_size=1)] == [("x", 9), ("y", 1)]
    reckon.send_events(Event("hummed", "ann", "x", event_id=f"e{n}") for n in range(3))
    assert [each.event_id for each in reckon.iter_events("ann", page_size=2)] == ["e2", "e1", "e0"]
    assert reckon.put_event_type("hummed", 2).weight == 2
    assert [each.name for each in reckon.event_types()] == ["hummed"]
    assert reckon.put_placement("email", {"diversity": 0.5}) == reckon.placement("email")
    assert [dict(each.settings) for each in reckon.placements()] == [{"diversity": 0.5}]


def test_deleted(fake: Fake) -> None:
    reckon, told = fake
    reckon.put_item("x")
    reckon.put_user("ann")
    reckon.rate_many([Rating("ann", "x", 4), Rating("ann", "y", 4), Rating("bob", "y", 4)])
    reckon.send_events([Event("clicked", "ann", "y"), Event("clicked", "bob", "x")])
    reckon.delete_rating("bob", "y")
    reckon.delete_item("x")
    assert list(told.memory.ratings) == [("ann", "y")]
    reckon.delete_user("ann")
    assert (told.memory.ratings, told.memory.events) == ({}, {})
    for ask in (lambda: reckon.item("x"), lambda: reckon.user("ann"), lambda: reckon.placement("email")):
        with pytest.raises(NotFoundError):
            ask()


def test_list_of_a_test(fake: Fake) -> None:
    reckon, told = fake
    told.set_recommendations("ann", ["c", RecommendedItem("a", predicted_rating=4.5)])
    assert ids(reckon.recommendations("ann")) == ["c", "a"]
    assert list(reckon.recommendations("ann"))[1].predicted_rating == 4.5
    assert ids(reckon.iter_recommendations("ann", page_size=1)) == ["c", "a"]
    assert ids(reckon.recommendations_for(user_id="ann", limit=1)) == ["c"]
    assert ids(reckon.preview_placement("email", "ann", {"diversity": 1.0})) == ["c", "a"]
    assert [ids(each.recommendations) for each in reckon.recommendations_batch(["ann", "bob"])] == [["c", "a"], []]
    ranking = reckon.rank(["a", "b", "c"], user_id="ann")
    assert (ids(ranking), ranking.unknown) == (["c", "a"], ("b",))


def test_stored_items_by_default(fake: Fake) -> None:
    reckon, _ = fake
    for item_id in "abc":
        reckon.put_item(item_id, title=item_id.upper())
    reckon.rate("ann", "a", 5)
    answer = reckon.recommendations("ann", limit=2, filter="year > 1990", explain=True)
    assert [(item.item_id, item.title) for item in answer] == [("a", "A"), ("b", "B")]
    assert ids(reckon.recommendations("ann", cursor=answer.next_cursor)) == ["c"]
    assert [(item.rank, item.item_id) for item in reckon.iter_chart("popular", page_size=2)] == list(
        enumerate("abc", 1)
    )
    assert [item.item_id for item in reckon.iter_items(q="B")] == ["b"]


def test_answer_of_a_test(fake: Fake) -> None:
    reckon, told = fake
    with pytest.raises(LookupError, match="GET /items/a%20b/similar"):
        reckon.similar_items("a b")
    similar = SimilarItems("a b", 1, (SimilarItem("c", None, 0.9),))
    told.set_answer(Reckon.similar_items.call("a b"), similar)
    assert reckon.similar_items("a b", limit=3) == similar
    told.set_answer(
        Reckon.home.call("ann"), Home("r", 1, "popular", (HomeRow("picked", "P", (RecommendedItem("a"),)),))
    )
    assert ids(next(iter(reckon.home("ann", n_rows=2)))) == ["a"]


def test_failing(fake: Fake) -> None:
    reckon, told = fake
    with told.memory.failing(503), pytest.raises(UnavailableError) as caught:
        reckon.livez()
    assert (caught.value.status, caught.value.request_id) == (503, "fake")
    with told.memory.failing(None), pytest.raises(ConnectionFailedError):
        reckon.livez()
    assert reckon.livez().status == "ok"


def test_retries() -> None:
    """By default none, so that a test of a failure does not wait."""
    with FakeReckon(retries=Retries(first_delay_seconds=0.001)) as reckon:
        with reckon.memory.failing(503), pytest.raises(UnavailableError):
            reckon.livez()
        reckon.set_recommendations("ann", ["a"])
        assert ids(reckon.recommendations("ann")) == ["a"]
