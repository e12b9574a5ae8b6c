"""Rules that drop, and the one that negates the user side."""

from app.entities import Item
from app.wiring import Service
from tests.support.requests import happen, ids, place, recommended, why_not


def test_consumed_is_dropped(service: Service) -> None:
    first, second = ids(recommended(service))[:2]
    happen(service, "user-0", "bought", [first])
    happen(service, "user-0", "clicked", [second])
    shown = ids(recommended(service))
    assert first not in shown
    assert second in shown


def test_consume_again(service: Service) -> None:
    (_, rating), *_ = service.store.ratings.page("user-0")
    assert rating.item_id not in ids(recommended(service))
    place(service, "email", consume_again=True)
    assert rating.item_id in ids(recommended(service, placement="email"))
    assert rating.item_id not in ids(recommended(service))


def test_own_items(service: Service) -> None:
    first = ids(recommended(service))[0]
    service.store.items.record([Item(first, created_by="user-0")], {"created_by"})
    assert first not in ids(recommended(service))
    assert first in ids(recommended(service, "newcomer"))
    place(service, own_items=True)
    assert first in ids(recommended(service))


def test_disliked_is_dropped(service: Service) -> None:
    """At once, though nothing is learned from dislikes here; what was only shown stays."""
    before = ids(recommended(service))
    first, second = before[:2]
    place(service, rotation=0.0)
    happen(service, "user-0", "shown", [first, second])
    happen(service, "user-0", "disliked", [first])
    assert ids(recommended(service)) == before[1:]
    why = why_not(service, first)
    assert (why.stage, why.rule) == ("restricted", "disliked")
    assert first in ids(recommended(service, "newcomer"))


def test_disliked_in_every_placement(service: Service) -> None:
    first = ids(recommended(service))[0]
    (_, rating), *_ = service.store.ratings.page("user-0")
    happen(service, "user-0", "disliked", [first, rating.item_id])
    place(service, "email", consume_again=True, own_items=True, recurring=1.0, promote=f'item_id = "{first}"')
    assert not {first, rating.item_id} & set(ids(recommended(service, placement="email")))


def test_likes_outweigh_a_dislike(service: Service) -> None:
    first = ids(recommended(service))[0]
    happen(service, "user-0", "disliked", [first])
    happen(service, "user-0", "liked", [first], times=3)
    assert first in ids(recommended(service))


def test_filters_of_both(service: Service) -> None:
    odd = ids(recommended(service, filter='"odd" in categories'))
    assert odd == ids(recommended(service, category="odd"))
    place(service, filter='"odd" in categories')
    assert ids(recommended(service)) == odd
    assert ids(recommended(service, filter='"even" in categories')) == []
    assert ids(recommended(service, limit=3)) == odd[:3]


def test_least_predicted_rating(service: Service) -> None:
    whole = recommended(service)
    good = [item.item_id for item in whole.items if (item.predicted_rating or 0) >= 3.5]
    assert 0 < len(good) < len(whole.items)
    assert ids(recommended(service, min_predicted_rating=3.5)) == good
    assert ids(recommended(service, min_predicted_rating=3.5, limit=2)) == good[:2]


def test_dissimilar_is_elsewhere(service: Service) -> None:
    plain = ids(recommended(service))
    place(service, dissimilar=True)
    turned = ids(recommended(service))
    assert sorted(turned) == sorted(plain)
    assert len(set(turned[:10]) & set(plain[:10])) < 8


def test_placement_is_valid_at_once(service: Service) -> None:
    before = ids(recommended(service))
    place(service, category_cap=1)
    place(service, filter='"odd" in categories')
    assert ids(recommended(service)) != before
    service.store.placements.delete("home")
    assert ids(recommended(service)) == before
