"""Lists: nothing is learned, so everybody is shown what is popular, or what the test says.

Filters, boosts and the rules of placements are taken and not looked at; limits, exclusions, categories and cursors are.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from ..operations.catalogue import Item
from ..operations.charts import Chart, ChartItem
from ..operations.home import Home, HomeRow, Mix, Mixes
from ..operations.rankings import ExcludedItem, Prediction, Predictions, Ranking
from ..operations.recommendations import (
    Reasons,
    Recommendations,
    RecommendationsBatch,
    RecommendedItem,
    UserRecommendations,
    WhyNot,
)
from ..operations.similar import SimilarItem, SimilarItems, SimilarUser, SimilarUsers
from .memory import Memory
from .paging import found, page_of, read_cursor, write_cursor

NO_REASONS = Reasons((), (), ())


class ListAnswers:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def recommendations(
        self, user_id: str, limit: int = 20, cursor: str | None = None, *, explain: bool = False, **wishes: Any
    ) -> Recommendations:
        consumed = self._memory.consumed_by(user_id)
        return self._page(user_id, consumed, limit, cursor, explain, wishes)

    def recommendations_for(
        self,
        user_id: str | None = None,
        ratings: Sequence[dict[str, Any]] = (),
        limit: int = 20,
        cursor: str | None = None,
        *,
        explain: bool = False,
        **wishes: Any,
    ) -> Recommendations:
        if user_id is not None:
            return self.recommendations(user_id, limit, cursor, explain=explain, **wishes)
        consumed = {rating["item_id"] for rating in ratings}
        return self._page("", consumed, limit, cursor, explain, wishes)

    def recommendations_batch(self, user_ids: list[str], **wishes: Any) -> RecommendationsBatch:
        return RecommendationsBatch(
            tuple(UserRecommendations(user_id, self.recommendations(user_id, **wishes)) for user_id in user_ids)
        )

    def preview_placement(self, name: str, user_id: str, settings: Any = None, **wishes: Any) -> Recommendations:
        if settings is None:
            self._memory.settings_of(name)
        return self.recommendations(user_id, **wishes)

    def why_not(self, user_id: str, item_id: str, limit: int = 20, **wishes: Any) -> WhyNot:
        title = self._memory.items[item_id].title if item_id in self._memory.items else None
        if item_id not in self._memory.items:
            return WhyNot(item_id, title, "unknown", "there is no such item")
        ranked = [item.item_id for item in self._eligible(user_id, self._memory.consumed_by(user_id), wishes)]
        if item_id not in ranked:
            return WhyNot(item_id, title, "restricted", "a rule dropped it", rule=self._rule(user_id, item_id))
        rank = ranked.index(item_id) + 1
        if rank > limit:
            return WhyNot(item_id, title, "outranked", "others score higher", rank=rank, rank_by_score=rank)
        return WhyNot(item_id, title, "shown", "it is in the list", rank=rank, rank_by_score=rank)

    def rank(
        self,
        item_ids: list[str],
        user_id: str | None = None,
        ratings: Sequence[dict[str, Any]] = (),
        *,
        explain: bool = False,
        **wishes: Any,
    ) -> Ranking:
        consumed = {rating["item_id"] for rating in ratings} | self._memory.consumed_by(user_id or "")
        asked = dict.fromkeys(item_ids)
        items = [item for item in self._eligible(user_id or "", consumed, wishes) if item.item_id in asked]
        kept = {item.item_id for item in items}
        unknown = [item_id for item_id in asked if item_id not in self._memory.items]
        out = [item_id for item_id in asked if item_id not in kept and item_id not in unknown]
        return Ranking(
            recommendation_id=f"fake-{user_id or ''}",
            snapshot_version=None,
            strategy="fold_in" if consumed else "popular",
            items=tuple(self._recommended(item, explain) for item in items),
            excluded=tuple(ExcludedItem(item_id, self._rule(user_id or "", item_id)) for item_id in out),
            unknown=tuple(unknown),
        )

    def predict(self, pairs: list[dict[str, str]]) -> Predictions:
        """What others think of the item."""
        results = [
            Prediction(
                index=index,
                status="predicted",
                user_id=pair["user_id"],
                item_id=pair["item_id"],
                predicted_rating=self._mean(pair["item_id"]),
                uncertainty=None,
                strategy="fold_in" if self._memory.ratings_of(pair["user_id"]) else "popular",
                item="new" if pair["item_id"] in self._memory.items else "unknown",
            )
            for index, pair in enumerate(pairs)
        ]
        return Predictions(None, tuple(results))

    def chart(
        self,
        chart: str,
        limit: int = 20,
        cursor: str | None = None,
        category: str | None = None,
        **_others: Any,
    ) -> Chart:
        orders: dict[str, Callable[[Item], float]] = {
            "popular": lambda item: len(self._memory.values_of(item.item_id)),
            "trending": lambda item: len(self._memory.values_of(item.item_id)),
            "newest": lambda item: item.added_at.timestamp() if item.added_at else 0.0,
        }
        order = found(orders, "chart", chart)
        items = sorted(self._memory.shown(), key=lambda item: -order(item))
        chosen = [item for item in items if category is None or category in item.categories]
        entries = {item.item_id: self._charted(rank, chart, item) for rank, item in enumerate(chosen, 1)}
        return Chart(chart, None, *page_of(entries, limit, cursor))

    def home(self, user_id: str, n_rows: int = 8, limit: int = 20, **_others: Any) -> Home:
        """What is picked, then one row a category."""
        left = self._eligible(user_id, self._memory.consumed_by(user_id), {})
        rows = [HomeRow("picked", "Picked for you", self._all_recommended(left[:limit]))] if left else []
        for name, items in _by_category(left[limit:]).items():
            rows.append(HomeRow(f"category:{name}", f"The best of {name}", self._all_recommended(items[:limit])))
        return Home(f"fake-{user_id}", None, "popular", tuple(rows[:n_rows]))

    def mixes(self, user_id: str, n_mixes: int = 6, limit: int = 20, **_others: Any) -> Mixes:
        """One a category."""
        left = self._eligible(user_id, self._memory.consumed_by(user_id), {})
        mixes = [
            Mix(name, (name,), (), self._all_recommended(items[:limit])) for name, items in _by_category(left).items()
        ]
        return Mixes(f"fake-{user_id}", None, "popular", tuple(mixes[:n_mixes]))

    def similar_items(self, item_id: str, limit: int = 20) -> SimilarItems:
        """Those that share categories."""
        own = set(found(self._memory.items, "item", item_id).categories)
        similar = [
            SimilarItem(item.item_id, item.title, _shared(own, item.categories))
            for item in self._memory.popular()
            if item.item_id != item_id and own & set(item.categories)
        ]
        return SimilarItems(item_id, None, tuple(sorted(similar, key=lambda item: -item.similarity)[:limit]))

    def similar_users(self, user_id: str, limit: int = 20) -> SimilarUsers:
        """Those who rated the same."""
        found(self._memory.users, "user", user_id)
        own = self._memory.ratings_of(user_id)
        shares = {other: _shared(own, self._memory.ratings_of(other)) for other in self._memory.users}
        near = [SimilarUser(other, share) for other, share in shares.items() if share and other != user_id]
        users = tuple(sorted(near, key=lambda user: -user.similarity)[:limit])
        return SimilarUsers(user_id, None, "fold_in" if own else "popular", users)

    def _page(
        self, user_id: str, consumed: set[str], limit: int, cursor: str | None, explain: bool, wishes: dict[str, Any]
    ) -> Recommendations:
        returned = read_cursor(cursor)
        eligible = [item for item in self._eligible(user_id, consumed, wishes) if item.item_id not in returned]
        shown = eligible[:limit]
        more = len(eligible) > limit
        return Recommendations(
            recommendation_id=f"fake-{user_id}",
            snapshot_version=None,
            strategy="fold_in" if consumed else "popular",
            items=tuple(self._recommended(item, explain) for item in shown),
            next_cursor=write_cursor([*returned, *(item.item_id for item in shown)]) if more else None,
        )

    def _eligible(self, user_id: str, consumed: set[str], wishes: dict[str, Any]) -> list[Item]:
        popular = self._memory.popular()
        if user_id in self._memory.lists:
            by_id = {item.item_id: item for item in popular}
            popular = [by_id[item_id] for item_id in self._memory.lists[user_id] if item_id in by_id]
        left_out = consumed | self._memory.disliked_by(user_id) | set(wishes.get("exclude") or ())
        category, least = wishes.get("category"), wishes.get("min_predicted_rating")
        return [
            item
            for item in popular
            if item.item_id not in left_out
            and (category is None or category in item.categories)
            and (least is None or (self._mean(item.item_id) or least) >= least)
        ]

    def _rule(self, user_id: str, item_id: str) -> str:
        if item_id in self._memory.disliked_by(user_id):
            return "disliked"
        if item_id in self._memory.consumed_by(user_id):
            return "already_consumed"
        return "requested" if self._memory.is_shown(item_id) else "available"

    def _mean(self, item_id: str) -> float | None:
        values = self._memory.values_of(item_id)
        return sum(values) / len(values) if values else None

    def _recommended(self, item: Item, explain: bool = False) -> RecommendedItem:
        return RecommendedItem(
            item_id=item.item_id,
            title=item.title,
            score=float(len(self._memory.values_of(item.item_id))),
            predicted_rating=self._mean(item.item_id),
            sources=("popular",),
            reasons=NO_REASONS if explain else None,
        )

    def _all_recommended(self, items: Sequence[Item]) -> tuple[RecommendedItem, ...]:
        return tuple(self._recommended(item) for item in items)

    def _charted(self, rank: int, chart: str, item: Item) -> ChartItem:
        n_ratings = len(self._memory.values_of(item.item_id))
        if chart == "popular":
            return ChartItem(item.item_id, item.title, rank, ratings=n_ratings)
        if chart == "trending":
            return ChartItem(item.item_id, item.title, rank, heat=float(n_ratings))
        return ChartItem(item.item_id, item.title, rank, added_at=item.added_at)


def _by_category(items: Sequence[Item]) -> dict[str, list[Item]]:
    """Each item once, under the first of its categories."""
    grouped: dict[str, list[Item]] = {}
    for item in items:
        for name in item.categories[:1]:
            grouped.setdefault(name, []).append(item)
    return grouped


def _shared(one: Collection[str], other: Collection[str]) -> float:
    return len(set(one) & set(other)) / (len(set(one) | set(other)) or 1)
