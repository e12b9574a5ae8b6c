"""One request for recommendations, as a list of steps."""

import time
from collections.abc import Sequence

import numpy as np

from app.serving.context import Context
from app.serving.eligible import Eligible
from app.serving.explain import Trace, explained
from app.serving.provenance import BIT, names_of
from app.serving.query import ExplainedRecommendations, Query, Ranked, Recommendations, RecommendedItem
from app.serving.ranking import predict, rank, unranked
from app.serving.request_state import RequestState
from app.serving.reranking import OrderRule, Restriction
from app.serving.reranking.weighing import stand
from app.serving.retrieval import Source, merge
from app.serving.tokens import MAX_RETURNED, RecommendationToken, TokenSigner
from app.serving.user_state import UserStates

POOL_FACTOR, POOL_LEAST = 5, 100
"""Candidates of each source where rules reorder: so many times what is asked for, and not fewer."""


class Recommender:
    """Answers queries; shared by all requests of a process."""

    def __init__(
        self,
        *,
        user_states: UserStates,
        sources: Sequence[Source],
        restrictions: Sequence[Restriction],
        order_rules: Sequence[OrderRule],
        tokens: TokenSigner,
    ) -> None:
        self._user_states = user_states
        self.sources = sources
        self.restrictions = restrictions
        self.order_rules = order_rules
        self._tokens = tokens

    async def recommend(self, query: Query, request_state: RequestState) -> Recommendations | ExplainedRecommendations:
        context = await self.restricted(query, request_state)
        ranked, trace = self.ranked(context)
        return self._answer(ranked.first(query.options.limit), context, trace)

    async def restricted(self, query: Query, request_state: RequestState) -> Context:
        """As `context`, with what may be shown; whatever is shown of it, it is one answer to one user."""
        context = await self.context(query, request_state)
        for restriction in self.restrictions:
            restriction.restrict(context)
        return context

    async def context(self, query: Query, request_state: RequestState) -> Context:
        """Who asks, by which rules, of what. Raises `UnknownPlacementError`."""
        serving, config = request_state.serving, request_state.config
        placement = config.placement(query.options.placement)
        if query.user_id is None:
            user = self._user_states.from_ratings(query.ratings, serving)
        else:
            user = await self._user_states.load(request_state.user, serving, config.event_types)  # mapped, or folded in
        return Context(query, placement, user, serving, Eligible(len(serving.catalogue)), time.time_ns() // 1_000)

    def ranked(self, context: Context) -> tuple[Ranked, Trace]:
        """All candidates, in the order they are to be shown in, and which rule moved which."""
        rules = self.rules_on(context)
        if rules:
            context.n_pooled = max(POOL_FACTOR * context.options.limit, POOL_LEAST)
        candidates = merge([(BIT[source.name], source.candidates(context)) for source in self._sources_of(context)])
        ranked = filled(rank(candidates, context), context)  # one dot product
        return arranged(stand(ranked) if rules else ranked, rules, context)

    def rules_on(self, context: Context) -> list[OrderRule]:
        return [rule for rule in self.order_rules if rule.is_on(context)]

    def _sources_of(self, context: Context) -> Sequence[Source]:
        chosen = context.placement.settings.sources
        return self.sources if chosen is None else [source for source in self.sources if source.name in chosen]

    def _answer(self, shown: Ranked, context: Context, trace: Trace) -> Recommendations | ExplainedRecommendations:
        items = items_of(shown, context)
        head = (self.recommendation_id(context), context.serving.version, context.user.strategy)
        cursor = self._next_cursor(shown, context)
        if context.options.explain:
            return ExplainedRecommendations(*head, explained(items, shown, trace, context), cursor)
        return Recommendations(*head, items, cursor)

    def recommendation_id(self, context: Context) -> str:
        token = RecommendationToken(
            context.user.user_key, context.serving.version, context.now, context.options.placement
        )
        return self._tokens.recommendation_id(token)

    def _next_cursor(self, shown: Ranked, context: Context) -> str | None:
        n_returned = len(context.query.returned_keys) + len(shown.rows)
        n_left = np.count_nonzero(context.eligible.mask) - np.count_nonzero(context.eligible.mask[shown.rows])
        if n_left <= 0 or n_returned > MAX_RETURNED - context.options.limit:
            return None
        returned = np.concatenate((context.query.returned_keys, context.serving.catalogue.keys[shown.rows]))
        return self._tokens.cursor(context.query.user_id or "", returned)


def arranged(ranked: Ranked, rules: Sequence[OrderRule], context: Context) -> tuple[Ranked, Trace]:
    """The candidates after each of the rules, and which rule moved which."""
    trace = Trace(is_kept=context.options.explain)
    for rule in rules:
        ranked = trace.of(rule.name, ranked, rule.arrange(ranked, context))
    return ranked, trace


def items_of(shown: Ranked, context: Context) -> list[RecommendedItem]:
    serving = context.serving
    item_ids, titles = serving.catalogue.item_ids, serving.catalogue.titles
    scores = shown.scores.astype(np.float64).round(5)
    columns = (shown.rows.tolist(), scores.tolist(), predict(shown.rows, context.user.side, serving))
    return [
        RecommendedItem(item_ids[row], titles[row], score, predicted, names_of(bits))
        for row, score, predicted, bits in zip(*columns, shown.proposed_by.tolist(), strict=True)
    ]


def filled(ranked: Ranked, context: Context) -> Ranked:
    """`ranked`, and where its sources proposed too few, the best of all other eligible items behind them."""
    n_missing = context.options.limit - len(ranked.rows)
    if n_missing <= 0:
        return ranked
    others = context.eligible.mask.copy()
    others[ranked.rows] = False
    rows = context.best(n_missing, others)
    more = unranked(rows, np.full(len(rows), BIT["nearest"]), context)
    return ranked.followed_by(more)
