"""Items like an item."""

import pytest

from app.entities import Item
from app.errors import NotFoundError
from app.wiring import Service
from tests.support.tastes import tasteful_ratings


def test_like_minded_items_first(service: Service) -> None:
    most_rated = max(set(tasteful_ratings().item_id), key=tasteful_ratings().item_id.count)
    found = service.similar.similar(most_rated, 5)
    assert len(found.items) == 5
    assert most_rated not in {item.item_id for item in found.items}
    similarities = [item.similarity for item in found.items]
    assert similarities == sorted(similarities, reverse=True)
    assert all(-1 <= value <= 1 for value in similarities)


def test_unavailable_is_passed_over(service: Service) -> None:
    most_rated = max(set(tasteful_ratings().item_id), key=tasteful_ratings().item_id.count)
    whole = [item.item_id for item in service.similar.similar(most_rated, 10).items]
    service.store.items.record([Item(whole[0], is_available=False)], {"is_available"})
    service.live.current.catalogue.refresh()
    assert [item.item_id for item in service.similar.similar(most_rated, 9).items] == whole[1:]


def test_unrated_and_unknown(service: Service) -> None:
    assert service.similar.similar("unrated-0", 5).items == []
    service.store.items.record([Item("brand-new")])
    assert service.similar.similar("brand-new", 5).items == []
    with pytest.raises(NotFoundError):
        service.similar.similar("nothing", 5)
