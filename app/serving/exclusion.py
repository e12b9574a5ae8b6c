"""Why an item is not in a user's list: the step of the pipeline at which it dropped out."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from app.serving import costs
from app.serving.candidates import Trace
from app.serving.parts import Context
from app.serving.provenance import names_of
from app.serving.query import Degraded, Query
from app.serving.ranking import score, score_between
from app.serving.recommend import Recommender, ranked_list, restrict
from app.serving.request_state import RequestState

SCORED_AT_ONCE = 1 << 14
"""Rows."""

Stage = Literal["shown", "unknown", "restricted", "not_proposed", "outranked", "moved_down"]


@dataclass(slots=True)
class WhyNot:
    """`stage`: `shown` (it is in the list), `unknown` (no such item), `restricted` (the rule `rule` dropped it),
    `not_proposed` (no source did: its score is too low), `outranked` (proposed, but others score higher) or
    `moved_down` (it would be in the list but for `rule`).

    `rank`: in the list as shown; `rank_by_score`: among all eligible items; both count from 1, None where it has none.
    `score_needed`: the lowest score in the list. `sources`: what proposed it.
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
    degraded: Degraded = False


class ExclusionExplainer:
    """Runs the pipeline with a trace that watches one item."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def explain(self, item_id: str, query: Query, request_state: RequestState) -> WhyNot:
        context = await self._recommender.context(query, request_state)
        return await self._recommender.threads.run(costs.of_list(context), why_not, item_id, context)


def why_not(item_id: str, context: Context) -> WhyNot:
    """Why the list of the context lacks the item, or at which rank it holds it."""
    row = context.serving.catalogue.row_of_id(item_id)
    if row is None:
        return WhyNot(item_id, None, "unknown", "there is no such item")
    # Watching the item costs nothing: the pipeline is the one that makes the list.
    context.trace = trace = Trace(np.array([row]))
    restrict(context)
    ranked = ranked_list(context)
    limit, title = context.options.limit, context.serving.catalogue.titles[row]
    shown_scores = ranked.scores[:limit]
    why = WhyNot(item_id, title, "shown", "it is in the list", trace.dropped_by.get(row))
    why.score = round(float(score(trace.watched, context.side, context.serving)[0]), 5)
    why.score_needed = round(float(shown_scores.min()), 5) if len(shown_scores) else None
    places = np.flatnonzero(ranked.rows == row)
    if len(places):
        why.rank, why.sources = int(places[0]) + 1, names_of(int(ranked.proposed_by[places[0]]))
    # A rule may have inserted an item that is not eligible, so the mask is checked first.
    if not context.eligible.mask[row]:
        return _restricted(why, limit)
    why.rank_by_score = _rank_by_score(row, context)
    if why.rank is None:
        return _not_proposed(why, limit)
    return _outranked(why, trace, row, limit) if why.rank > limit else why


def _restricted(why: WhyNot, limit: int) -> WhyNot:
    if why.rank is not None and why.rank <= limit:
        why.detail, why.rule = "it is in the list: a rule brought it in again", None
        return why
    why.stage, why.detail = "restricted", f"the rule {why.rule} dropped it"
    why.rank = why.sources = None
    return why


def _not_proposed(why: WhyNot, limit: int) -> WhyNot:
    # An index with lists searches the likeliest of them alone, and may miss an item of a high score.
    is_high = (why.rank_by_score or 0) <= limit
    reason = "the search, which does not look everywhere, missed it" if is_high else "its score is too low"
    why.stage, why.detail = "not_proposed", f"no source proposed it: {reason}"
    return why


def _outranked(why: WhyNot, trace: Trace, row: int, limit: int) -> WhyNot:
    # Without its rules the list would be the ranking by score: an item that ranks high there was moved down.
    moved_down = [move for move in trace.moves(row) if move.rank_after > (move.rank_before or 0)]
    if moved_down and (why.rank_by_score or 0) <= limit:
        why.stage, why.rule = "moved_down", moved_down[0].rule
        why.detail = f"by its score it would be shown, but the rule {why.rule} moved it down"
    else:
        why.stage, why.detail = "outranked", "it was proposed, but others score higher"
    return why


def _rank_by_score(row: int, context: Context) -> int:
    """The rank, from 1, of an eligible row among all eligible rows."""
    mask = context.eligible.mask

    def scores_from(start: int) -> NDArray[np.float32]:
        return score_between(start, min(start + SCORED_AT_ONCE, len(mask)), context.side, context.serving)

    # The same product as the others, which may round otherwise than that of a single row.
    own = scores_from(row - row % SCORED_AT_ONCE)[row % SCORED_AT_ONCE]
    starts = range(0, len(mask), SCORED_AT_ONCE)
    return 1 + sum(
        int(np.count_nonzero(mask[start : start + SCORED_AT_ONCE] & (scores_from(start) > own)))
        for start in starts
        if mask[start : start + SCORED_AT_ONCE].any()
    )
