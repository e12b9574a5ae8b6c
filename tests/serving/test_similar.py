"""Items similar to an item."""

import asyncio
from typing import Any

import numpy as np
import pytest

from app.entities import Item, Patch
from app.errors import NotFoundError
from app.serving.expressions import parse_filter
from app.serving.placement import Placement
from app.serving.placement_config import UnknownPlacementError
from app.serving.query import ListOptions, Query, SimilarItems
from app.serving.similar import SimilarKind, listing_of
from app.wiring import Service
from tests.support.user_states import tasteful_ratings

MOST_RATED = max(set(tasteful_ratings().item_id), key=tasteful_ratings().item_id.count)


def similar(
    service: Service,
    item_id: str = MOST_RATED,
    limit: int = 5,
    kind: SimilarKind = "blend",
    user_id: str | None = None,
    cursor: str | None = None,
    **options: Any,
) -> SimilarItems:
    async def answer() -> SimilarItems:
        query = Query(user_id, ListOptions(limit=limit, **options))
        if cursor is not None:
            returned = service.tokens.read_cursor(listing_of(item_id, user_id), cursor)
            query = Query(user_id, query.options, returned_keys=returned)
        request_state = await service.request_states.read(user_id or "")
        return await service.similar_items.similar_items(item_id, kind, query, request_state)

    return asyncio.run(answer())


def ids(answer: SimilarItems) -> list[str]:
    return [item.item_id for item in answer.items]


@pytest.mark.parametrize("kind", ["blend", "taste"])
def test_like_minded_items_first(service: Service, kind: SimilarKind) -> None:
    answer = similar(service, kind=kind)
    assert (len(answer.items), answer.kind) == (5, kind)
    assert MOST_RATED not in ids(answer)
    similarities = [item.similarity for item in answer.items]
    assert similarities == sorted(similarities, reverse=True)
    assert all(0 < value <= 1 for value in similarities)


def test_contributions_sum(service: Service) -> None:
    items = similar(service).items
    assert {"taste", "features"} <= set().union(*(item.contributions for item in items))
    assert [sum(item.contributions.values()) for item in items] == pytest.approx(
        [item.similarity for item in items], abs=1e-4
    )


def test_unavailable_is_passed_over(service: Service) -> None:
    whole = ids(similar(service, limit=10))
    service.store.items.patch([Patch(whole[0], {"is_available": False})])
    assert ids(similar(service, limit=9)) == whole[1:]


def test_filters_before_the_cut(service: Service) -> None:
    # All items of one category, many of them beyond a stored list, in the order of the whole list.
    everything = ids(similar(service, limit=100))
    odd = [item_id for item_id in everything if item_id.startswith("item-") and int(item_id[5:]) % 2]
    assert len(odd) > 20
    assert ids(similar(service, limit=len(odd), categories=("odd",))) == odd
    assert ids(similar(service, limit=5, filter=parse_filter('"odd" in categories'))) == odd[:5]
    assert ids(similar(service, limit=5, exclude=tuple(odd[:2]), categories=("odd",))) == odd[2:7]


@pytest.mark.parametrize("kind", ["blend", "taste"])
def test_pages_repeat_nothing(service: Service, kind: SimilarKind) -> None:
    whole, pages, cursor = ids(similar(service, limit=100, kind=kind)), [], None
    while True:
        page = similar(service, limit=7, kind=kind, cursor=cursor)
        pages += ids(page)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert pages == whole
    assert len(set(pages)) == len(pages) > 3 * 7


def test_user_has_it(service: Service) -> None:
    ratings = tasteful_ratings()
    rated = {item for user, item in zip(ratings.user_id, ratings.item_id, strict=True) if user == "user-3"}
    plain = ids(similar(service, limit=100))
    assert rated & set(plain)
    assert sorted(ids(similar(service, limit=100, user_id="user-3"))) == sorted(set(plain) - rated)
    assert ids(similar(service, limit=100, user_id="a-stranger")) == plain


def test_what_suits_moves_up(service: Service) -> None:
    lifted = ids(similar(service, limit=100, user_id="user-3"))
    plain = [item_id for item_id in ids(similar(service, limit=100)) if item_id in set(lifted)]
    scorer, catalogue = service.serving.current.scorer, service.serving.current.catalogue
    names = service.store.users.ids_of(scorer.arrays.user_keys.tolist())
    row = scorer.user_row(next(key for key, name in names.items() if name == "user-3"))
    assert row is not None
    rows = catalogue.rows_of_ids(plain)
    scores = scorer.scores(scorer.user_side(row), rows, scorer.item_vectors[rows])
    moved_up = [place - lifted.index(item_id) for place, item_id in enumerate(plain)]
    assert any(moved_up)
    assert np.corrcoef(moved_up, scores)[0, 1] > 0.3


def test_placement_restricts(service: Service) -> None:
    service.store.placements.put("odd", Placement(filter='"odd" in categories').document)
    service.config.refresh(service.config.current.generation)
    assert ids(similar(service, placement="odd")) == ids(similar(service, categories=("odd",)))
    with pytest.raises(UnknownPlacementError):
        similar(service, placement="nowhere")


def test_unrated_and_unknown(service: Service) -> None:
    assert similar(service, "unrated-0").items == []
    service.store.items.record([Item("brand-new")])
    assert similar(service, "brand-new").items == []
    with pytest.raises(NotFoundError):
        similar(service, "nothing")


def test_newer_by_content(service: Service) -> None:
    service.store.items.record([Item("sequel", title="Item 7", categories=("odd", "all"))])
    newer = similar(service, "sequel")
    assert all(int(item.item_id[5:]) % 2 for item in newer.items)
    assert len(newer.items) == 5
    assert {part for item in newer.items for part in item.contributions} <= {"features", "titles"}
    assert similar(service, "sequel", kind="taste").items == []
