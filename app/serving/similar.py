"""Items like an item."""

import numpy as np

from app.errors import NotFoundError
from app.serving.live import LiveSnapshot
from app.serving.query import SimilarItem, SimilarItems
from app.store.items import Items


class SimilarFinder:
    def __init__(self, *, items: Items, live: LiveSnapshot) -> None:
        self._items = items
        self._live = live

    def similar(self, item_id: str, limit: int) -> SimilarItems:
        """The most similar available items, best first; empty for one that the snapshot has not seen rated.

        Raises `NotFoundError` for an unknown item.
        """
        live = self._live.current
        row = live.catalogue.row_of_id(item_id)
        if row is None and self._items.key_of(item_id) is not None:
            live.catalogue.refresh()
            row = live.catalogue.row_of_id(item_id)
        if row is None:
            raise NotFoundError("item", item_id)
        if live.snapshot is None or row >= live.n_learned:
            return SimilarItems(item_id, live.version, [])
        available = live.catalogue.available()
        n = limit
        while True:  # widen until enough of them are available
            rows, similarities = live.snapshot.similar(row, n)
            shown = np.flatnonzero(available[rows])[:limit]
            if len(shown) == limit or len(rows) < n:
                break
            n *= 4
        ids, titles = live.catalogue.item_ids, live.catalogue.titles
        found = zip(rows[shown].tolist(), similarities[shown].tolist(), strict=True)
        return SimilarItems(
            item_id, live.version, [SimilarItem(ids[k], titles[k], round(value, 5)) for k, value in found]
        )
