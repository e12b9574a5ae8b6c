"""Items like an item."""

from asyncio import to_thread

import numpy as np

from app.errors import NotFoundError
from app.serving.query import SimilarItem, SimilarItems
from app.serving.serving_state import ServingState


async def similar_items(item_id: str, limit: int, serving: ServingState) -> SimilarItems:
    """The most similar available items, best first; empty for one that the snapshot has not seen rated.

    Raises `NotFoundError` for an unknown item.
    """
    row = serving.catalogue.row_of_id(item_id)
    if row is None:
        raise NotFoundError("item", item_id)
    if serving.snapshot is None or row >= serving.n_learned:
        return SimilarItems(item_id, serving.version, [])
    if len(serving.snapshot.similar_rows):
        return _available(item_id, row, limit, serving)
    return await to_thread(_available, item_id, row, limit, serving)  # a scan of all items


def _available(item_id: str, row: int, limit: int, serving: ServingState) -> SimilarItems:
    if serving.snapshot is None:
        raise LookupError("nothing is learned yet")
    available = serving.catalogue.available()
    n = limit
    while True:  # widen until enough of them are available
        rows, similarities = serving.snapshot.similar(row, n)
        shown = available[rows].nonzero()[0][:limit]
        if len(shown) == limit or len(rows) < n:
            break
        n *= 4
    ids, titles = serving.catalogue.item_ids, serving.catalogue.titles
    rounded = similarities[shown].astype(np.float64).round(5)
    found = zip(rows[shown].tolist(), rounded.tolist(), strict=True)
    return SimilarItems(item_id, serving.version, [SimilarItem(ids[k], titles[k], value) for k, value in found])
