"""Rules that drop, and the one that negates the user side."""

from pathlib import Path

import numpy as np
import pytest

from app.entities import Patch
from app.serving.reranking.dissimilar import turned
from app.settings import Settings
from app.store import Store
from app.wiring import Service
from tests.support.published import opened_shop
from tests.support.ratings import incoming
from tests.support.requests import happen, ids, place, recommended, why_not
from tests.support.user_states import tasteful_ratings


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
    service.store.items.patch([Patch(first, {"created_by": "user-0"})])
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
    assert odd == ids(recommended(service, categories=("odd",)))
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


def own_mean(service: Service, user_id: str) -> float:
    """The mean of the user's ratings with five of the mean of all."""
    values = [rating.value for _, rating in service.store.ratings.page(user_id)]
    mean = service.store.training_reads.load().ratings.value.mean()
    return float((5 * mean + sum(values)) / (5 + len(values)))


@pytest.mark.parametrize("above", [-0.4, 0.0, 0.3])
def test_predicted_rating_above_own_mean(service: Service, above: float) -> None:
    for user_id in ("user-0", "user-1", "newcomer"):
        whole, least = recommended(service, user_id).items, own_mean(service, user_id) + above
        good = [item.item_id for item in whole if (item.predicted_rating or 0) >= least]
        assert len(good) < len(whole)
        place(service, "above", min_predicted_rating_above_mean=above)
        assert ids(recommended(service, user_id, placement="above")) == good
        # With a request for more, the higher of both thresholds holds.
        asked = ids(recommended(service, user_id, placement="above", min_predicted_rating=4.5))
        assert set(asked) == set(good) & set(ids(recommended(service, user_id, min_predicted_rating=4.5)))


def test_above_own_mean_without_predictions(store: Store, settings: Settings) -> None:
    """Before anything is learned the setting changes nothing."""
    store.ratings.record(incoming(("ann", "x", 5, 1), ("bob", "y", 1, 1)))
    unlearned = Service.build(settings)
    place(unlearned, min_predicted_rating_above_mean=4.0)
    shown = ids(recommended(unlearned, "ann"))
    unlearned.store.close()
    assert shown == ["y"]


def test_dissimilar_is_elsewhere(service: Service) -> None:
    plain = ids(recommended(service))
    place(service, dissimilar=True)
    turned = ids(recommended(service))
    assert sorted(turned) == sorted(plain)
    assert len(set(turned[:10]) & set(plain[:10])) < 8


def test_dissimilar_forgets_kinds_that_are_rated_high(tmp_path: Path) -> None:
    """Only the taste is negated; the kinds that the rating segment knows count nothing, item biases as before."""
    # What the data choose may have one segment of vectors alone.
    names = {"rating": "funk_svd", "taste": "als_implicit", "popularity": "popularity"}
    recipe = {"segments": [{"name": name, "algorithm": algorithm} for name, algorithm in names.items()]}
    with opened_shop(tmp_path, tasteful_ratings()) as shop:
        scorer = shop.train(recipe)
    side = scorer.user_side(0)
    rating, taste = scorer.directional
    assert taste == scorer.likeness
    assert np.any(side.vector[rating])
    expected = side.vector.copy()
    expected[rating] = 0
    expected[taste] *= -1
    np.testing.assert_array_equal(turned(side, scorer).vector, expected)
    assert len(expected) > (rating.stop - rating.start) + (taste.stop - taste.start)


def test_placement_is_valid_at_once(service: Service) -> None:
    before = ids(recommended(service))
    place(service, category_cap=1)
    place(service, filter='"odd" in categories')
    assert ids(recommended(service)) != before
    service.store.placements.delete("home")
    assert ids(recommended(service)) == before
