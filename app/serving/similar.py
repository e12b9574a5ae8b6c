"""Items similar to an item."""

from asyncio import to_thread

import numpy as np

from app.errors import NotFoundError
from app.serving.query import SimilarItem, SimilarItems
from app.serving.request_state import RequestState


async def similar_items(item_id: str, limit: int, request_state: RequestState) -> SimilarItems:
    """The most similar available items, best first; none for an item that had no ratings at the snapshot.

    Raises `NotFoundError` for an unknown item.
    """
    serving = request_state.serving
    row = serving.catalogue.row_of_id(item_id)
    if row is None:
        raise NotFoundError("item", item_id)
    if row >= serving.n_learned:
        return SimilarItems(item_id, serving.version, [])
    if len(serving.scorer.arrays.similar_rows):
        items = _available(row, limit, request_state)
    else:
        items = await to_thread(_available, row, limit, request_state)  # a scan of all items
    return SimilarItems(item_id, serving.version, items)


def _available(row: int, limit: int, request_state: RequestState) -> list[SimilarItem]:
    scorer, catalogue = request_state.serving.scorer, request_state.serving.catalogue
    available = catalogue.available(request_state.now)
    n = limit
    while True:  # until enough of them are available
        rows, similarities = scorer.similar(row, n)
        shown = available[rows].nonzero()[0][:limit]
        if len(shown) == limit or len(rows) < n:
            break
        n *= 4
    ids, titles = catalogue.item_ids, catalogue.titles
    rounded = similarities[shown].astype(np.float64).round(5)
    pairs = zip(rows[shown].tolist(), rounded.tolist(), strict=True)
    return [SimilarItem(ids[row], titles[row], similarity) for row, similarity in pairs]
