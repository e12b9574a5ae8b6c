"""Pairs of a user and an item, predicted as of now."""

from app.entities import Item
from app.wiring import Service
from tests.support.exploring import predictions
from tests.support.ratings import incoming
from tests.support.requests import recommended

NOW = 2_000_000_000_000_000


def test_agrees_with_the_list(service: Service) -> None:
    shown = recommended(service).items
    made = predictions(service, *(("user-0", item.item_id) for item in shown))
    assert [each.predicted_rating for each in made] == [item.predicted_rating for item in shown]
    assert {each.strategy for each in made} == {"personalized"}


def test_order_and_index_are_kept(service: Service) -> None:
    """Though users are folded in one after another."""
    pairs = [(f"user-{n % 30}", f"item-{n % 7}") for n in range(90)]
    made = predictions(service, *pairs)
    assert [(each.user_id, each.item_id) for each in made] == pairs
    assert [each.index for each in made] == list(range(90))
    alone = [predictions(service, pair)[0].predicted_rating for pair in pairs[:3]]
    assert [each.predicted_rating for each in made[:3]] == alone


def test_reads_own_writes(service: Service) -> None:
    (before,) = predictions(service, ("user-0", "item-1"))
    low, high = ("item-1", 1), ("item-1", 5)
    for item_id, value in (low, high):
        service.store.ratings.record(incoming(("user-0", item_id, value, NOW + value)))
        (after,) = predictions(service, ("user-0", "item-1"))
        assert after.strategy == "fold_in"
        assert (after.predicted_rating or 0) != before.predicted_rating


def test_less_known_is_less_certain(service: Service) -> None:
    known, newcomer = predictions(service, ("user-0", "item-1"), ("nobody", "item-1"))
    assert newcomer.strategy == "popular"
    assert (newcomer.uncertainty or 0) > (known.uncertainty or 9)
    assert 1 <= (newcomer.predicted_rating or 0) <= 5


def test_unknown_and_new_items(service: Service) -> None:
    service.store.items.record([Item("brand-new", categories=("even",))])
    made = predictions(service, *(("user-0", item) for item in ("item-1", "unrated-0", "brand-new", "nothing")))
    assert [each.item for each in made] == ["learned", "new", "new", "unknown"]
    assert all(1 <= (each.predicted_rating or 0) <= 5 for each in made)
    assert min(each.uncertainty or 0 for each in made[1:]) > (made[0].uncertainty or 9)


def test_deleted_user_and_item(service: Service) -> None:
    service.store.users.delete("user-0")
    service.store.items.delete("item-1")
    (made,) = predictions(service, ("user-0", "item-1"))
    assert (made.strategy, made.item) == ("popular", "unknown")


def test_nothing_asked(service: Service) -> None:
    assert predictions(service) == []
