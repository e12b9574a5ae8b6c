"""The caller's own candidates, ranked for a user by the same dot product and rules as every list."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.serving import costs
from app.serving.candidates import Candidates, Trace
from app.serving.catalogue import Catalogue
from app.serving.explain import explained
from app.serving.parts import Context
from app.serving.query import Degraded, ExplainedItem, Query, RecommendedItem
from app.serving.ranking import rank
from app.serving.recommend import Recommender, arrange, items_of, restrict
from app.serving.request_state import RequestState
from app.serving.rows import Rows

AN_ITEM = 5.0
"""Microseconds for each candidate, besides those of a list."""


@dataclass(slots=True)
class ExcludedItem:
    """`rule`: the first rule that dropped the item, of the placement or of the request."""

    item_id: str
    rule: str


@dataclass(slots=True)
class Ranking:
    """Every candidate once: in `items`, best first, in `excluded` or, where there is no such item, in `unknown`.

    `ignored_items`: the items of a guest's ratings and events that do not exist; None for a stored user.
    """

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: list[RecommendedItem]
    excluded: list[ExcludedItem]
    unknown: list[str]
    ignored_items: list[str] | None = None
    degraded: Degraded = False


@dataclass(slots=True)
class ExplainedRanking:
    """As `Ranking`, with the reasons of every item."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: list[ExplainedItem]
    excluded: list[ExcludedItem]
    unknown: list[str]
    ignored_items: list[str] | None = None
    degraded: Degraded = False


class CandidateRanker:
    """Runs the pipeline with the caller's candidates in place of the sources."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def rank(
        self, item_ids: Sequence[str], query: Query, request_state: RequestState
    ) -> Ranking | ExplainedRanking:
        """All candidates that no rule drops, best first; the others are named with the rule that dropped them.

        Rules reorder and insert among the candidates alone: nothing else is eligible.
        """
        rows, unknown = known_rows(item_ids, request_state.serving.catalogue)
        context = await self._recommender.context(query, request_state)
        microseconds = costs.of_list(context, len(rows)) + len(rows) * AN_ITEM
        return await self._recommender.threads.run(microseconds, self._made, rows, unknown, query, context)

    def _made(self, rows: Rows, unknown: list[str], query: Query, context: Context) -> Ranking | ExplainedRanking:
        context.trace = trace = Trace(rows)
        # Before the restrictions act, so that rules find nothing else to insert.
        context.eligible.keep_only(rows)
        restrict(context)
        kept = np.sort(context.eligible.among(rows))
        # Nothing is cut: shares of slots and the cap of a category are of as many items as there are.
        context.options = replace(query.options, limit=max(len(kept), 1))
        ranked = arrange(rank(Candidates(kept, np.zeros(len(kept), np.int64)), context), context)
        brought_back = set(ranked.rows.tolist())  # consumed items that are due again
        ids = context.serving.catalogue.item_ids
        excluded = [
            ExcludedItem(ids[row], trace.dropped_by[row])
            for row in rows.tolist()
            if row in trace.dropped_by and row not in brought_back
        ]
        items, heading = items_of(ranked, context), self._recommender.heading(context)
        if query.options.explain:
            return ExplainedRanking(*heading, explained(items, ranked, trace, context), excluded, unknown)
        return Ranking(*heading, items, excluded, unknown)


def known_rows(item_ids: Sequence[str], catalogue: Catalogue) -> tuple[Rows, list[str]]:
    """The rows of the items that exist and the ids of those that do not; in order, each once."""
    row_of = {item_id: catalogue.row_of_id(item_id) for item_id in item_ids}
    rows = [row for row in row_of.values() if row is not None]
    return np.array(rows, dtype=np.int64), [item_id for item_id, row in row_of.items() if row is None]
