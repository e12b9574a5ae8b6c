"""One request for recommendations, as a list of steps.

Every list is made by these steps: home pages, mixes, the caller's own candidates and the explanation of a missing item
run the same functions, and a `Trace` in the context observes them.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from app.observability.shown_items import ShownItems
from app.observability.traces import span
from app.serving import costs
from app.serving.candidates import Candidates, Eligible, Ranked, Trace
from app.serving.catalogue import Catalogue
from app.serving.explain import explained
from app.serving.near_names import MICROSECONDS as NEAR_NAMES
from app.serving.near_names import suggestion
from app.serving.parts import Context
from app.serving.placement_config import DEFAULTS, CompiledPlacement
from app.serving.placement_watch import PlacementWatch
from app.serving.provenance import BITS, names_of
from app.serving.query import NO_OPTIONS, ExplainedRecommendations, Query, Recommendations, RecommendedItem
from app.serving.ranking import null_where_nan, rank, scored
from app.serving.request_state import RequestState
from app.serving.reranking.weighing import with_standings
from app.serving.rows import NO_ROWS, Rows
from app.serving.tokens import LAST_PAGE, Paging, RecommendationToken, TokenSigner
from app.serving.user_state import UserStates
from app.serving.work_threads import WorkThreads

POOL_FACTOR, LEAST_POOL = 5, 100
"""Where rules reorder, a source proposes `POOL_FACTOR` candidates per item requested, and at least `LEAST_POOL`."""


MAX_NOTES = 5
"""Unknown categories of a request that are named, with the names that are near."""


class Recommender:
    """Answers queries; shared by all requests of a process."""

    def __init__(
        self,
        user_states: UserStates,
        tokens: TokenSigner,
        watch: PlacementWatch,
        threads: WorkThreads,
        shown_items: ShownItems | None,
    ) -> None:
        """`shown_items`: None where no metric counts them."""
        self._shown_items = shown_items
        self.threads = threads
        self._user_states = user_states
        self._tokens = tokens
        self._watch = watch

    async def recommend(self, query: Query, request_state: RequestState) -> Recommendations | ExplainedRecommendations:
        context = await self.context(query, request_state)  # the user, mapped or folded in; the parts that are on
        return await self.threads.run(costs.of_list(context), self._made, query, request_state, context)

    def _made(
        self, query: Query, request_state: RequestState, context: Context
    ) -> Recommendations | ExplainedRecommendations:
        restrict(context)  # before retrieval: filters never shorten a list
        ranked = ranked_list(context)  # candidates, one dot product, rules
        placement = request_state.config.placements[query.options.placement]
        if not len(ranked.rows) and is_emptied_by(placement, context):
            self._watch.count_empty(query.options.placement)
        return self._answer(ranked.take(slice(query.options.limit)), context)

    async def context(self, query: Query, request_state: RequestState) -> Context:
        """The user, mapped or folded in, and the parts that are on. Raises `UnknownPlacementError`."""
        serving, config, options = request_state.serving, request_state.config, query.options
        placement = config.placement(options.placement)
        if placement.expressions:
            look = (options.placement, placement, serving.catalogue)
            await self.threads.run(self._watch.microseconds(*look), self._watch.look_at, *look)
        with span("user state"):
            if query.user_id is None:
                user = await self._user_states.of_guest(query.ratings, query.events, serving, config.event_types)
            else:
                user = await self._user_states.load(request_state.user, serving, config.event_types)
        # The cursor is not an option, but its items turn on the same restriction as the option `exclude`.
        given = options.given | {"returned_keys"} if len(query.returned_keys) else options.given
        return Context(
            query=query,
            options=options,
            plan=placement.plan(serving, given, has_events=user.interactions is not None),
            user=user,
            serving=serving,
            eligible=Eligible(len(serving.catalogue)),
            now=request_state.now,
            bits=BITS,
            side=user.side,
            due_rows=NO_ROWS,
            trace=Trace() if options.explain else None,
        )

    def heading(self, context: Context) -> tuple[str, int | None, str]:
        """The beginning of every answer: its id, the version of the snapshot, the strategy."""
        user, version = context.user, context.serving.version
        owner = self._tokens.owner(context.query.user_id)
        token = RecommendationToken(owner, version, context.now, context.options.placement)
        return self._tokens.recommendation_id(token), version, user.strategy

    async def placement_notes(self, query: Query, request_state: RequestState) -> list[str]:
        """What an operator should look at in the placement: names of nothing, and settings that leave no item."""
        placement = request_state.config.placement(query.options.placement)
        context = await self.context(query, request_state)
        microseconds = costs.of_list(context) + len(placement.expressions) * NEAR_NAMES
        return await self.threads.run(microseconds, self._notes, placement, context)

    def _notes(self, placement: CompiledPlacement, context: Context) -> list[str]:
        catalogue = context.serving.catalogue
        notes = [each.error(catalogue).described for each in placement.unknown_names(catalogue)]
        restrict(context)
        if is_emptied_by(placement, context):
            notes.append("the settings of the placement leave no item for this user; the default settings leave some")
        return notes

    def _answer(self, shown: Ranked, context: Context) -> Recommendations | ExplainedRecommendations:
        items, notes = items_of(shown, context), category_notes(context.options.categories, context.serving.catalogue)
        paging = self.paging(shown.rows, context, context.query.user_id or "")
        if self._shown_items is not None:
            self._shown_items.note(context.serving.catalogue.keys[shown.rows], context.now)
        if context.trace is not None:
            reasons = explained(items, shown, context.trace, context)
            return ExplainedRecommendations(*self.heading(context), reasons, *paging, notes)
        return Recommendations(*self.heading(context), items, *paging, notes)

    def paging(self, rows: Rows, context: Context, listing: str) -> Paging:
        """How the list goes on after the page that shows `rows`: as long as any other item is eligible."""
        mask = context.eligible.mask
        # Rules may have inserted items that are not eligible; only eligible ones are subtracted.
        n_left = np.count_nonzero(mask) - np.count_nonzero(mask[rows])
        if n_left <= 0:
            return LAST_PAGE
        keys = context.serving.catalogue.keys[rows]
        return self._tokens.paging(listing, context.query.returned_keys, keys, context.options.limit)


def restrict(context: Context) -> None:
    """Make ineligible what must not be shown, and set `context.rules` to the rules that apply to the user."""
    trace, plan = context.trace, context.plan
    for restriction in plan.restrictions:
        if trace is None:
            restriction.restrict(context)
        else:
            was_eligible = context.eligible.has(trace.watched)
            restriction.restrict(context)
            trace.restricted(restriction.name, was_eligible, context.eligible)
    # For a user without events, the plan has left out the rules that need them; with events, each rule is asked.
    context.rules = [rule for rule in plan.rules if rule.applies(context)] if plan.has_events else plan.rules


def is_emptied_by(placement: CompiledPlacement, context: Context) -> bool:
    """Whether the settings of the placement leave the user no item, whatever a request asks, and the defaults do."""
    if context.eligible.mask.any():
        return False
    query = replace(context.query, options=NO_OPTIONS, returned_keys=NO_ROWS)

    def leaves_items(settings: CompiledPlacement) -> bool:
        plan = settings.plan(context.serving, frozenset(), has_events=context.user.interactions is not None)
        eligible = Eligible(len(context.eligible.mask))
        restrict(replace(context, query=query, options=NO_OPTIONS, plan=plan, eligible=eligible, trace=None))
        return bool(eligible.mask.any())

    return not leaves_items(placement) and leaves_items(DEFAULTS)


def category_notes(categories: Sequence[str], catalogue: Catalogue) -> list[str]:
    """What to say of the categories in a request: nothing of those that an item has."""
    if not categories:  # nearly always
        return []
    unknown = [category for category in categories if not catalogue.has_category(category)]
    notes = [
        f"no item has the category {category!r}{suggestion(category, catalogue.category_names[1:])}"
        for category in unknown[:MAX_NOTES]
    ]
    if len(unknown) > MAX_NOTES:
        notes.append(f"no item has {len(unknown) - MAX_NOTES} more of the categories")
    return notes


def ranked_list(context: Context) -> Ranked:
    """All candidates in the order in which they are to be shown; at least `limit` while as many are eligible."""
    with span("retrieval"):
        candidates = retrieve(context)
    with span("ranking"):
        ranked = rank(candidates, context)  # one dot product
        if len(ranked.rows) < context.options.limit:
            ranked = filled(ranked, context)
    if not context.rules:
        return ranked
    with span("rules"):
        return arrange(ranked, context)


def retrieve(context: Context) -> Candidates:
    """The union of what the sources propose."""
    context.n_pooled = limit = context.options.limit
    if context.rules:  # rules choose from more candidates than are shown
        context.n_pooled = max(POOL_FACTOR * limit, LEAST_POOL)
    bits, proposals = [], []
    for source in context.plan.sources:
        bits.append(context.bits[source.name])
        proposals.append(source.candidates(context))
    return Candidates.from_proposals(bits, proposals)


def filled(ranked: Ranked, context: Context) -> Ranked:
    """`ranked`, then the best of all other eligible items, for a list to which the sources proposed too few."""
    # They follow the ranked ones even if their scores are higher: the placement prefers its sources.
    others = context.eligible.mask.copy()
    others[ranked.rows] = False
    rows = context.best(context.options.limit - len(ranked.rows), others)
    return ranked.followed_by(scored(rows, context.bits["nearest"], context))


def arrange(ranked: Ranked, context: Context) -> Ranked:
    """The candidates after each of the rules that apply."""
    ranked = with_standings(ranked)
    for rule in context.rules:
        before = ranked.rows
        ranked = rule.arrange(ranked, context)
        if context.trace is not None:
            context.trace.steps.append((rule.name, before, ranked.rows))
    return ranked


def items_of(shown: Ranked, context: Context) -> list[RecommendedItem]:
    catalogue = context.serving.catalogue
    item_ids, titles = catalogue.item_ids, catalogue.titles
    # By columns: one conversion of each array is faster than one of each of its numbers.
    scores = shown.scores.astype(np.float64).round(5).tolist()
    # A score is not a rating: predicted ratings use the rating segment alone, and always the user's own side.
    vectors = context.serving.vectors_of(shown.rows)
    predicted = null_where_nan(context.serving.scorer.predict(context.user.side, vectors))
    columns = zip(shown.rows.tolist(), scores, predicted, shown.proposed_by.tolist(), strict=True)
    return [
        RecommendedItem(item_ids[row], titles[row], score, rating, names_of(bits))
        for row, score, rating, bits in columns
    ]
