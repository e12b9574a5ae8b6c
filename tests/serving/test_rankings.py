"""The caller's candidates, ranked by the same arithmetic and rules as the lists."""

import pytest

from app.entities import Item, Patch, Rating
from app.wiring import Service
from tests.support.exploring import ranking
from tests.support.requests import happen, ids, place, recommended


def test_same_order_as_the_list(service: Service) -> None:
    whole = recommended(service)
    given = sorted(ids(whole))
    ranked = ranking(service, given)
    assert ids(ranked) == ids(whole)
    assert [item.score for item in ranked.items] == [item.score for item in whole.items]
    assert [item.predicted_rating for item in ranked.items] == [item.predicted_rating for item in whole.items]
    assert (ranked.excluded, ranked.unknown, ranked.strategy) == ([], [], "personalized")


def test_each_candidate_once(service: Service) -> None:
    """In the ranking, excluded with the rule, or unknown; a rated one, one not available, one filtered out."""
    ((_, rating), *_) = service.store.ratings.page("user-0")
    gone, filtered, *rest = ids(recommended(service))[:6]
    service.store.items.patch([Patch(gone, {"is_available": False})])
    given = [rating.item_id, "nothing", gone, *rest, filtered, rest[0], "nothing", rating.item_id]
    ranked = ranking(service, given, exclude=(filtered,))
    assert ids(ranked) == rest
    assert [(each.item_id, each.rule) for each in ranked.excluded] == [
        (rating.item_id, "already_consumed"),
        (gone, "available"),
        (filtered, "requested"),
    ]
    assert ranked.unknown == ["nothing"]


def test_consume_again_ranks_them_all(service: Service) -> None:
    rated = [rating.item_id for _, rating in service.store.ratings.page("user-0")]
    assert ids(ranking(service, rated)) == []
    place(service, "again", consume_again=True)
    ranked = ranking(service, rated, placement="again")
    assert sorted(ids(ranked)) == sorted(rated)
    assert ranked.excluded == []


def test_request_conditions_hold(service: Service) -> None:
    given = ids(recommended(service))
    ranked = ranking(service, given, filter='"even" in categories')
    assert ids(ranked) == ids(recommended(service, filter='"even" in categories'))
    assert {each.rule for each in ranked.excluded} == {"filter"}
    boosted = ranking(service, given, boost='"odd" in categories -> 100')
    assert ids(boosted)[0] in ids(recommended(service, categories=("odd",)))


def test_demoted_sinks_below_zero(service: Service) -> None:
    """A factor is one on the standing: on a negative score it would lift the item."""
    *_, first, second, third = recommended(service, filter='not item_id contains "unrated"').items
    assert first.score < 0
    place(service, demote=f'item_id = "{first.item_id}"', demotion=1.0)
    given = [first.item_id, second.item_id, third.item_id]
    assert ids(ranking(service, given))[-1] == first.item_id


def test_rules_bring_in_candidates_alone(service: Service) -> None:
    place(service, promote='"even" in categories', promoted_share=0.5, exploration=0.5, recurring=0.5, category_cap=1)
    happen(service, "user-0", "bought", ["unrated-0"])
    given = ids(recommended(service, placement="home"))[:7]
    ranked = ranking(service, given)
    assert sorted([*ids(ranked), *(each.item_id for each in ranked.excluded)]) == sorted(given)


def test_guest(service: Service) -> None:
    given = [f"item-{n}" for n in range(20)]
    stored = [rating for _, rating in service.store.ratings.page("user-0")]
    # A guest's ratings come newest first; of equal times, in the order of the catalogue.
    newest_first = sorted(stored, key=lambda rating: -rating.rated_at.timestamp() if rating.rated_at else 0.0)
    rated = tuple(Rating("", rating.item_id, rating.value) for rating in newest_first)
    as_guest = ranking(service, given, None, ratings=rated)
    assert as_guest.strategy == "fold_in"
    assert ids(as_guest) == ids(ranking(service, given))
    assert ranking(service, given, None).strategy == "popular"


def test_explained(service: Service) -> None:
    ranked = ranking(service, ids(recommended(service))[:5], explain=True)
    for item in ranked.items:
        assert sum(share.score for share in item.reasons.segments) == pytest.approx(item.score, abs=1e-3)
        assert item.reasons.because


def test_new_item_and_nobody(service: Service) -> None:
    service.store.items.record([Item("brand-new", categories=("even",))])
    ranked = ranking(service, ["item-0", "brand-new"], "nobody")
    assert ranked.strategy == "popular"
    assert set(ids(ranked)) == {"item-0", "brand-new"}
    assert ranking(service, ["nothing"]).items == []
