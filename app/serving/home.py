"""A home page: titled rows in one answer, no item in two of them."""

from asyncio import to_thread
from dataclasses import dataclass
from itertools import islice

import numpy as np

from app.serving.context import Context
from app.serving.home_rows import home_row_candidates
from app.serving.provenance import BIT
from app.serving.query import Query, RecommendedItem
from app.serving.ranking import unranked
from app.serving.recommend import Recommender, items_of
from app.serving.request_state import RequestState


@dataclass(slots=True)
class HomeRow:
    """`row_id`: `picked`, `liked:ITEM_ID`, `category:NAME`, `country:NAME`, `popular`, `trending`, `newest`,
    `different`; the same as long as the row is about the same.
    """

    row_id: str
    title: str
    items: list[RecommendedItem]


@dataclass(slots=True)
class Home:
    """`strategy`: as of recommendations."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    rows: list[HomeRow]


class HomePage:
    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def home(self, n_rows: int, query: Query, request_state: RequestState) -> Home:
        """Up to `n_rows` rows of up to as many items as asked for; the restrictions of the placement hold in all."""
        context = await self._recommender.restricted(query, request_state)
        rows = await to_thread(self._rows, n_rows, context)
        head = (self._recommender.recommendation_id(context), context.serving.version, context.user.strategy)
        return Home(*head, rows)

    def _rows(self, n_rows: int, context: Context) -> list[HomeRow]:
        """The recommendations first; each row takes its items from those that follow."""
        ranked, _ = self._recommender.ranked(context)
        picked = ranked.first(context.options.limit)
        context.eligible.drop(picked.rows)
        title = "Popular" if context.user.is_unknown else "Picked for you"
        rows = [HomeRow("picked", title, items_of(picked, context))] if len(picked.rows) else []
        for shelf in islice(home_row_candidates(context), n_rows - len(rows)):
            context.eligible.drop(shelf.rows)
            proposed_by = np.full(len(shelf.rows), BIT[shelf.proposer])
            shown = unranked(shelf.rows, proposed_by, context)
            rows.append(HomeRow(shelf.row_id, shelf.title, items_of(shown, context)))
        return rows
