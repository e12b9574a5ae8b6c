"""The caller's own candidates, ranked for a user: by the same dot product and rules as every list."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.serving.catalogue import Catalogue
from app.serving.context import Context
from app.serving.explain import explained
from app.serving.query import Candidates, ExplainedItem, Query, RecommendedItem
from app.serving.ranking import rank
from app.serving.recommend import Recommender, arranged, items_of
from app.serving.request_state import RequestState
from app.serving.rows import Rows


@dataclass(slots=True)
class ExcludedItem:
    """`rule`: which ruled it out first, one of the placement's or of the request."""

    item_id: str
    rule: str


@dataclass(slots=True)
class Ranking:
    """Every candidate once: in `items`, best first, in `excluded` or, where there is no such item, in `unknown`."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: list[RecommendedItem]
    excluded: list[ExcludedItem]
    unknown: list[str]


@dataclass(slots=True)
class ExplainedRanking:
    """As `Ranking`, with the reasons of every item."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    items: list[ExplainedItem]
    excluded: list[ExcludedItem]
    unknown: list[str]


class CandidateRanker:
    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def rank(
        self, item_ids: Sequence[str], query: Query, request_state: RequestState
    ) -> Ranking | ExplainedRanking:
        """All candidates that the rules let through, best first; what they drop is named with the rule.

        Rules reorder and insert among the candidates alone: nothing else is eligible.
        """
        rows, unknown = known_rows(item_ids, request_state.serving.catalogue)
        context = await self._recommender.context(query, request_state)
        dropped = self._restricted(rows, context)
        kept = np.sort(context.eligible.among(rows))
        context.query = replace(query, options=replace(query.options, limit=max(len(kept), 1)))
        candidates = Candidates(kept, np.zeros(len(kept), np.int64))
        ranked, trace = arranged(rank(candidates, context), self._recommender.rules_on(context), context)
        back = set(ranked.rows.tolist())  # what is due again, a rule brings back
        ids = context.serving.catalogue.item_ids
        excluded = [ExcludedItem(ids[row], rule) for row, rule in dropped.items() if row not in back]
        items = items_of(ranked, context)
        head = (self._recommender.recommendation_id(context), context.serving.version, context.user.strategy)
        if query.options.explain:
            return ExplainedRanking(*head, explained(items, ranked, trace, context), excluded, unknown)
        return Ranking(*head, items, excluded, unknown)

    def _restricted(self, rows: Rows, context: Context) -> dict[int, str]:
        """Leave of `rows` what may be shown; the others, in the order given, with the rule that dropped each."""
        context.eligible.keep_only(rows)
        dropped: dict[int, str] = {}
        for restriction in self._recommender.restrictions:
            before = context.eligible.mask[rows]
            restriction.restrict(context)
            dropped |= dict.fromkeys(rows[before & ~context.eligible.mask[rows]].tolist(), restriction.name)
        return {row: dropped[row] for row in rows.tolist() if row in dropped}


def known_rows(item_ids: Sequence[str], catalogue: Catalogue) -> tuple[Rows, list[str]]:
    """The rows of the items there are, and the ids of those there are not; in order, each once."""
    found = {item_id: catalogue.row_of_id(item_id) for item_id in item_ids}
    rows = [row for row in found.values() if row is not None]
    return np.array(rows, dtype=np.int64), [item_id for item_id, row in found.items() if row is None]
