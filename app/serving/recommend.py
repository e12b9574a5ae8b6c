"""One request for recommendations, as a list of steps."""

import time
from collections.abc import Sequence

import numpy as np

from app.serving.eligible import Eligible
from app.serving.live import Live, LiveSnapshot
from app.serving.query import Query, Ranked, Recommendations, RecommendedItem
from app.serving.ranking import predict, rank
from app.serving.reranking import Rule
from app.serving.retrieval import Source, merge
from app.serving.tastes import Taste, Tastes
from app.serving.tokens import MAX_RETURNED, RecommendationToken, Tokens
from app.store.users import Users

DEFAULT_PLACEMENT = "home"


class Recommender:
    """Answers queries; shared by all requests of a process."""

    def __init__(
        self,
        *,
        users: Users,
        live: LiveSnapshot,
        tastes: Tastes,
        sources: Sequence[Source],
        rules: Sequence[Rule],
        tokens: Tokens,
    ) -> None:
        self._users = users
        self._live = live
        self._tastes = tastes
        self._sources = sources
        self._rules = rules
        self._tokens = tokens
        # By the bits of `proposed_by`: the names of every set of sources, so that an answer looks them up.
        names = [source.name for source in sources]
        self._names = [[name for bit, name in enumerate(names) if bits >> bit & 1] for bits in range(1 << len(names))]

    def recommend(self, query: Query) -> Recommendations:
        user = self._users.freshness(query.user_id)
        live = self._live.at(user.catalogue_version)  # one state of affairs for the whole request
        taste = self._tastes.of(user, live)  # mapped, or folded in if anything changed
        eligible = Eligible(len(live.catalogue))
        for rule in self._rules:
            rule.restrict(eligible, query, taste, live)
        candidates = merge([source.candidates(query, taste, eligible, live) for source in self._sources])
        ranked = rank(candidates, taste, live)  # one dot product
        shown = ranked.first(query.limit)
        return Recommendations(
            recommendation_id=self._recommendation_id(taste, live),
            snapshot_version=live.version,
            strategy=taste.strategy,
            items=self._items(shown, taste, live),
            next_cursor=self._next_cursor(query, shown, eligible, live),
        )

    def _items(self, shown: Ranked, taste: Taste, live: Live) -> list[RecommendedItem]:
        item_ids, titles, names = live.catalogue.item_ids, live.catalogue.titles, self._names
        columns = (shown.rows.tolist(), shown.scores.tolist(), predict(shown.rows, taste, live))
        return [
            RecommendedItem(item_ids[row], titles[row], round(score, 5), predicted, names[bits])
            for row, score, predicted, bits in zip(*columns, shown.proposed_by.tolist(), strict=True)
        ]

    def _recommendation_id(self, taste: Taste, live: Live) -> str:
        now = time.time_ns() // 1_000
        return self._tokens.recommendation_id(RecommendationToken(taste.user_key, live.version, now, DEFAULT_PLACEMENT))

    def _next_cursor(self, query: Query, shown: Ranked, eligible: Eligible, live: Live) -> str | None:
        n_returned = len(query.returned_keys) + len(shown.rows)
        n_eligible = len(eligible.mask) - eligible.count_ineligible(len(eligible.mask))
        if len(shown.rows) >= n_eligible or n_returned > MAX_RETURNED - query.limit:
            return None
        returned = np.append(query.returned_keys, live.catalogue.keys[shown.rows])
        return self._tokens.cursor(query.user_id, returned)
