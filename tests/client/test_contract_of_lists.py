"""Both kinds of clients on the real service: lists, before anything is learned."""

from collections.abc import Iterable
from datetime import UTC, datetime

import pytest

from app.client import (
    AttributeField,
    ChangedMeanwhileError,
    ConflictError,
    Event,
    GuestRating,
    InvalidInputError,
    ItemField,
    NotFoundError,
    Pair,
    PastEvent,
    Rating,
    Reckon,
    RecommendedItem,
    attribute_field,
)
from app.client.operations.rankings import Prediction, RejectedPair


@pytest.fixture
def shop(reckon: Reckon) -> Reckon:
    """a, b and c, rated by one, two and three users."""
    for n, item_id in enumerate("abc"):
        added = datetime(2026, 1, 1 + n, tzinfo=UTC)
        reckon.put_item(item_id, title=item_id.upper(), categories=["Even" if n % 2 else "Odd"], added_at=added)
    rows = [Rating(f"u{user}", item_id, 4) for n, item_id in enumerate("abc") for user in range(n + 1)]
    assert reckon.rate_many(rows).stored == 6
    return reckon


def ids(items: Iterable[RecommendedItem]) -> set[str]:
    return {item.item_id for item in items}


def test_guest(shop: Reckon) -> None:
    answer = shop.recommendations_for(ratings=[GuestRating("a", 5)], limit=10)
    assert ids(answer) == {"b", "c"}
    assert ids(shop.recommendations_for()) == {"a", "b", "c"}
    assert ids(shop.recommendations_for(user_id="u1")) == {"a"}


def test_guest_by_events(shop: Reckon) -> None:
    bought = PastEvent("bought", "a")
    answer = shop.recommendations_for(events=[bought], viewed_item_ids=["b", "gone"])
    assert (ids(answer), answer.ignored_items) == ({"b", "c"}, ("gone",))
    assert shop.recommendations_for(user_id="u1").ignored_items is None
    ranking = shop.rank(["a", "b"], events=[bought], viewed_item_ids=["gone"])
    assert ([each.item_id for each in ranking.excluded], ids(ranking)) == (["a"], {"b"})
    assert ranking.ignored_items == ("gone",)
    with pytest.raises(InvalidInputError, match="no event type 'hummed'"):
        shop.recommendations_for(events=[PastEvent("hummed", "a")])


def test_long_exclusions(shop: Reckon) -> None:
    excluded = [f"{n:0>128}" for n in range(1_000)]
    assert ids(shop.recommendations_for(user_id="ann", exclude=[*excluded, "a"])) == {"b", "c"}


def test_batch_of_users(shop: Reckon) -> None:
    batch = shop.recommendations_batch(["u1", "ann"], exclude=["c"])
    assert [(each.user_id, ids(each.recommendations)) for each in batch] == [("u1", {"a"}), ("ann", {"a", "b"})]


def test_explained(shop: Reckon) -> None:
    plain, explained = shop.recommendations("ann"), shop.recommendations("ann", explain=True)
    assert all(item.reasons is None for item in plain)
    assert all(item.reasons is not None for item in explained)


def test_columns(shop: Reckon) -> None:
    """Columns and single attributes; the name of an attribute may hold what separates fields."""
    odd = 'price, "net" \\'
    shop.put_item("a", year=1977, url="https://example.com/a", attributes={odd: 3, "colour": "red"})
    fields: list[ItemField | AttributeField] = [
        "year",
        "url",
        "is_available",
        attribute_field(odd),
        attribute_field("missing"),
    ]
    for answer in (
        shop.recommendations("ann", fields=fields),
        shop.recommendations_for(fields=fields),
    ):
        item = next(each for each in answer if each.item_id == "a")
        assert (item.year, item.url, item.is_available) == (1977, "https://example.com/a", True)
        assert item.attributes == {odd: 3}
        assert item.title is None
        assert item.added_at is None


def test_why_not(shop: Reckon) -> None:
    assert shop.why_not("ann", "nope").stage == "unknown"
    assert shop.why_not("ann", "a").stage == "shown"
    rated = shop.why_not("u0", "a")
    assert (rated.stage, rated.rule) == ("restricted", "already_consumed")


def test_disliked(shop: Reckon) -> None:
    shop.send_events([Event("disliked", "ann", "b"), Event("shown", "ann", "c")])
    assert ids(shop.recommendations("ann")) == {"a", "c"}
    assert shop.why_not("ann", "b").rule == "disliked"
    (excluded,) = shop.rank(["a", "b"], user_id="ann").excluded
    assert (excluded.item_id, excluded.rule) == ("b", "disliked")


def test_own_candidates(shop: Reckon) -> None:
    shop.put_item("gone", is_available=False)
    ranking = shop.rank(["a", "nope", "c", "gone"], user_id="u2")
    assert ids(ranking) == {"a"}
    assert {each.item_id: each.rule for each in ranking.excluded} == {"c": "already_consumed", "gone": "available"}
    assert ranking.unknown == ("nope",)


def test_predictions(shop: Reckon) -> None:
    first, second, third = shop.predict([Pair("ann", "a"), Pair("u0", "nope"), Pair("u0", "a/b")])
    assert isinstance(first, Prediction)
    assert isinstance(second, Prediction)
    assert (first.index, first.user_id, first.item_id) == (0, "ann", "a")
    assert second.item == "unknown"
    assert isinstance(third, RejectedPair)
    assert third.problem


def test_charts(shop: Reckon) -> None:
    newest = shop.chart("newest", limit=2)
    assert [(item.rank, item.item_id) for item in newest] == [(1, "c"), (2, "b")]
    assert [item.item_id for item in shop.iter_chart("newest", page_size=1)] == ["c", "b", "a"]
    assert [item.item_id for item in shop.chart("newest", category="Even")] == ["b"]
    assert {item.heat is None for item in shop.chart("trending")} <= {False}
    with pytest.raises(NotFoundError):
        shop.chart("worst")  # type: ignore[arg-type]


def test_home_has_each_once(shop: Reckon) -> None:
    rows = list(shop.home("ann", limit=1))
    shown = [item.item_id for row in rows for item in row]
    assert len(shown) == len(set(shown))
    assert rows[0].row_id == "picked"


def test_mixes(shop: Reckon) -> None:
    shown = [item.item_id for mix in shop.mixes("ann") for item in mix]
    assert len(shown) == len(set(shown))


def test_similar_items(shop: Reckon) -> None:
    answer = shop.similar_items("a", limit=2, user_id="ann", exclude=["b"], fields=["title", "similarity", "year"])
    assert (answer.item_id, answer.kind) == ("a", "blend")
    assert answer.recommendation_id
    assert not {"a", "b"} & {item.item_id for item in answer}
    assert [item.item_id for item in shop.iter_similar_items("a", page_size=1)] == [
        item.item_id for item in shop.similar_items("a", limit=100)
    ]
    with pytest.raises(InvalidInputError) as caught:
        shop.similar_items("a", placement="nowhere")
    assert caught.value.field == "placement"


def test_similar_users(shop: Reckon) -> None:
    with pytest.raises(NotFoundError):
        shop.similar_users("nobody")
    assert shop.similar_users("u0", limit=2).user_id == "u0"


def test_placements(reckon: Reckon) -> None:
    (home,) = reckon.placements()
    assert (home.name, home.settings["diversity"]) == ("home", 0)
    reckon.put_placement("email", {"diversity": 0.5, "consume_again": True})
    stored = reckon.placement("email").settings
    assert (stored["diversity"], stored["consume_again"], stored["rotation"]) == (0.5, True, 0.5)
    changed = reckon.put_placement("email", {**stored, "rotation": 0.0})
    assert (changed.settings["diversity"], changed.settings["rotation"]) == (0.5, 0)
    assert {placement.name for placement in reckon.placements()} == {"home", "email"}
    for _ in range(2):
        reckon.delete_placement("email")
    with pytest.raises(NotFoundError):
        reckon.placement("email")
    kept = reckon.put_placement("email", {"sources": ["popular", "newest"]}).settings
    assert list(kept["sources"] or ()) == ["popular", "newest"]
    with pytest.raises(InvalidInputError):
        reckon.put_placement("email", {"diversty": 1})  # type: ignore[typeddict-unknown-key]


def test_placement_versions(reckon: Reckon) -> None:
    made = reckon.put_placement("email", {"novelty": 0.1})
    changed = reckon.put_placement("email", {**made.settings, "novelty": 0.2}, if_version=made.version)
    assert (made.version, changed.version, reckon.placement("email").version) == (1, 2, 2)
    for attempt in (
        lambda: reckon.put_placement("email", {"novelty": 0.3}, if_version=1),
        lambda: reckon.delete_placement("email", if_version=1),
        lambda: reckon.restore_placement("email", 1, if_version=1),
    ):
        with pytest.raises(ChangedMeanwhileError) as caught:
            attempt()
        assert (caught.value.status, caught.value.current_version) == (412, 2)
    assert reckon.restore_placement("email", 1, if_version=2).settings["novelty"] == 0.1
    reckon.delete_placement("email", if_version=3)
    found = reckon.placement_versions("email")
    assert [(each.number, each.settings is None, each.changed_by) for each in found] == [
        (4, True, None),
        (3, False, None),
        (2, False, None),
        (1, False, None),
    ]
    assert list(reckon.placement_versions("email", limit=1)) == list(found)[:1]
    with pytest.raises(ConflictError):
        reckon.restore_placement("email", 4)
    with pytest.raises(NotFoundError):
        reckon.placement_versions("nowhere")


def test_preview(shop: Reckon) -> None:
    assert ids(shop.preview_placement("email", "ann", {"diversity": 0.5}, limit=10)) == {"a", "b", "c"}
    with pytest.raises(NotFoundError):
        shop.preview_placement("email", "ann")
    assert ids(shop.preview_placement("home", "ann")) == {"a", "b", "c"}
