"""Lists: nothing is learned, so everybody is shown what is popular, or what the test says."""

from ..operations.catalogue import Item
from ..operations.recommendations import Recommendations, RecommendedItem
from ..operations.similar import SimilarItem, SimilarItems
from .memory import Memory
from .paging import found, read_cursor, write_cursor


class ListAnswers:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def recommendations(
        self,
        user_id: str,
        limit: int = 20,
        cursor: str | None = None,
        exclude: list[str] | None = None,
        category: str | None = None,
    ) -> Recommendations:
        rated = self._memory.ratings_of(user_id)
        returned = read_cursor(cursor)
        left_out = {*rated, *(exclude or ()), *returned}
        eligible = [
            item
            for item in self._candidates(user_id)
            if item.item_id not in left_out and (category is None or category in item.categories)
        ]
        items = tuple(self._recommended(item) for item in eligible[:limit])
        more = len(eligible) > limit
        return Recommendations(
            recommendation_id=f"fake-{user_id}",
            snapshot_version=None,
            strategy="fold_in" if rated else "popular",
            items=items,
            next_cursor=write_cursor([*returned, *(item.item_id for item in items)]) if more else None,
        )

    def similar_items(self, item_id: str, limit: int = 20) -> SimilarItems:
        """Those that share categories, most in common first."""
        own = set(found(self._memory.items, "item", item_id).categories)
        similar = [
            SimilarItem(item.item_id, item.title, len(own & set(item.categories)) / len(own | set(item.categories)))
            for item in self._memory.popular()
            if item.item_id != item_id and own & set(item.categories)
        ]
        return SimilarItems(item_id, None, tuple(sorted(similar, key=lambda item: -item.similarity)[:limit]))

    def _candidates(self, user_id: str) -> list[Item]:
        popular = self._memory.popular()
        if user_id not in self._memory.lists:
            return popular
        shown = {item.item_id: item for item in popular}
        return [shown[item_id] for item_id in self._memory.lists[user_id] if item_id in shown]

    def _recommended(self, item: Item) -> RecommendedItem:
        values = self._memory.values_of(item.item_id)
        mean = sum(values) / len(values) if values else None
        return RecommendedItem(item.item_id, item.title, float(len(values)), mean, ("popular",))
