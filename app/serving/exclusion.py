"""Why an item is not in a user's list: the stage at which it dropped out."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from app.serving.context import Context
from app.serving.provenance import names_of
from app.serving.query import Query, Ranked
from app.serving.ranking import score
from app.serving.recommend import Recommender
from app.serving.request_state import RequestState

Stage = Literal["shown", "unknown", "restricted", "not_proposed", "outranked", "moved_down"]


@dataclass(slots=True)
class WhyNot:
    """`stage`: `shown` (it is in the list), `unknown` (no such item), `restricted` (the rule `rule` dropped it),
    `not_proposed` (no source did: its score is too low), `outranked` (proposed, but others score higher) or
    `moved_down` (it would be in the list but for `rule`).

    `rank`: in the list as shown; `rank_by_score`: among all eligible items; both count from 1, None where it has none.
    `score_needed`: the lowest score in the list. `sources`: who proposed it.
    """

    item_id: str
    title: str | None
    stage: Stage
    detail: str
    rule: str | None = None
    sources: list[str] | None = None
    rank: int | None = None
    rank_by_score: int | None = None
    score: float | None = None
    score_needed: float | None = None


class ExclusionExplainer:
    """Goes through the steps of a request, looking at one item all the while."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def why_not(self, item_id: str, query: Query, request_state: RequestState) -> WhyNot:
        traced = replace(query, options=replace(query.options, explain=True))  # which rule moved which
        context = await self._recommender.context(traced, request_state)
        row = context.serving.catalogue.row_of_id(item_id)
        if row is None:
            return WhyNot(item_id, None, "unknown", "there is no such item")
        found = WhyNot(item_id, context.serving.catalogue.titles[row], "shown", "it is in the list")
        for restriction in self._recommender.restrictions:
            was_eligible = bool(context.eligible.mask[row])
            restriction.restrict(context)
            if was_eligible and not context.eligible.mask[row]:
                found.rule = restriction.name
        ranked, trace = self._recommender.ranked(context)
        shown = ranked.first(query.options.limit)
        scores = score(np.array([row]), context.side_vector, context.serving)
        found.score = round(float(scores[0]), 5)
        found.score_needed = round(float(shown.scores.min()), 5) if len(shown.rows) else None
        places = np.flatnonzero(ranked.rows == row)
        if len(places):
            found.rank = int(places[0]) + 1
            found.sources = names_of(int(ranked.proposed_by[places[0]]))
        if not context.eligible.mask[row]:
            return self._restricted(found, shown)
        found.rank_by_score = self._rank_by_score(row, context)
        if found.rank is None:
            is_high = found.rank_by_score <= query.options.limit
            why = "the search, which does not look everywhere, missed it" if is_high else "its score is too low"
            found.stage, found.detail = "not_proposed", f"no source proposed it: {why}"
        elif found.rank > query.options.limit:
            moved = [move for move in trace.moves(row) if move.rank_after > (move.rank_before or 0)]
            if found.rank_by_score <= query.options.limit and moved:
                found.stage, found.rule = "moved_down", moved[0].rule
                found.detail = f"by its score it would be shown, but the rule {found.rule} moved it down"
            else:
                found.stage, found.detail = "outranked", "it was proposed, but others score higher"
        return found

    @staticmethod
    def _restricted(found: WhyNot, shown: Ranked) -> WhyNot:
        if found.rank is not None and found.rank <= len(shown.rows):
            found.detail, found.rule = "it is in the list: a rule brought it in again", None
            return found
        found.stage, found.detail = "restricted", f"the rule {found.rule} dropped it"
        found.rank = found.sources = None
        return found

    @staticmethod
    def _rank_by_score(row: int, context: Context) -> int:
        rows = np.flatnonzero(context.eligible.mask)
        scores = score(rows, context.side_vector, context.serving)
        own = scores[np.searchsorted(rows, row)]
        return int(np.count_nonzero(scores > own)) + 1
