"""Items similar to an item."""

import asyncio

import pytest

from app.entities import Item
from app.errors import NotFoundError
from app.serving.query import SimilarItems
from app.serving.similar import similar_items
from app.wiring import Service
from tests.support.user_states import tasteful_ratings


def similar(service: Service, item_id: str, limit: int) -> SimilarItems:
    async def answer() -> SimilarItems:
        request_state = await service.request_states.read("")
        return await similar_items(item_id, limit, request_state)

    return asyncio.run(answer())


def test_like_minded_items_first(service: Service) -> None:
    most_rated = max(set(tasteful_ratings().item_id), key=tasteful_ratings().item_id.count)
    answer = similar(service, most_rated, 5)
    assert len(answer.items) == 5
    assert most_rated not in {item.item_id for item in answer.items}
    similarities = [item.similarity for item in answer.items]
    assert similarities == sorted(similarities, reverse=True)
    assert all(-1 <= value <= 1 for value in similarities)


def test_unavailable_is_passed_over(service: Service) -> None:
    most_rated = max(set(tasteful_ratings().item_id), key=tasteful_ratings().item_id.count)
    whole = [item.item_id for item in similar(service, most_rated, 10).items]
    service.store.items.record([Item(whole[0], is_available=False)], {"is_available"})
    assert [item.item_id for item in similar(service, most_rated, 9).items] == whole[1:]


def test_unrated_and_unknown(service: Service) -> None:
    assert similar(service, "unrated-0", 5).items == []
    service.store.items.record([Item("brand-new")])
    assert similar(service, "brand-new", 5).items == []
    with pytest.raises(NotFoundError):
        similar(service, "nothing", 5)
