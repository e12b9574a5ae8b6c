"""Search by the words of titles, in the order of the match and of the user's own score together.

    standing = text score + USER_WEIGHT / (1 + exp(-z))

with z the user's score, standardised over the hits: a better match comes first, and among like matches what the user
would choose. An empty query is answered with recommendations.

Decided: what a user has consumed is found, because a search names what is wanted. Of the rules of the placement its
filter holds; its order does not.
"""

import json

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInputError
from app.serving.candidates import Ranked
from app.serving.catalogue import title_words
from app.serving.parts import Context
from app.serving.query import ExplainedRecommendations, FoundItem, Query, Recommendations, SearchResults
from app.serving.ranking import score
from app.serving.recommend import Recommender, category_notes, items_of
from app.serving.request_state import RequestState
from app.texts import folded

USER_WEIGHT = 0.15
N_ORDERED = 500
"""Of more hits, those that match best are ordered."""

MAX_WORDS = 64


class Searcher:
    """Answers searches; shared by all requests of a process."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def search(self, text: str, query: Query, request_state: RequestState) -> SearchResults:
        """The items whose titles match `text`; with a typo in a word, the beginning of the last word, and in any case.

        Raises `InvalidInputError` for more than `MAX_WORDS` words.
        """
        words = title_words(text)
        if len(words) > MAX_WORDS:
            raise InvalidInputError(f"at most {MAX_WORDS} words, not {len(words)}", field="body.query")
        if not words:
            return _without_text(await self._recommender.recommend(query, request_state))
        context = await self._recommender.context(query, request_state)
        # The first search of a process indexes all titles, which may take seconds.
        return await self._recommender.threads.apart(self._made, text, words, query, context)

    def _made(self, text: str, words: list[str], query: Query, context: Context) -> SearchResults:
        for restriction in context.plan.restrictions:
            if restriction.holds_in_search:
                restriction.restrict(context)
        hits, text_scores = found(words, context)
        shown = hits.take(slice(query.options.limit))
        items = [
            FoundItem(each.item_id, each.title, each.score, each.predicted_rating, each.sources, text_score)
            for each, text_score in zip(items_of(shown, context), text_scores.tolist(), strict=False)
        ]
        paging = self._recommender.paging(shown.rows, context, listing_of(text, query.user_id))
        notes = category_notes(query.options.categories, context.serving.catalogue)
        return SearchResults(*self._recommender.heading(context), items, *paging, notes)


def listing_of(text: str, user_id: str | None) -> str:
    """The question, for cursors: the user and the query; the user alone for one without words."""
    return json.dumps(["search", user_id, folded(text)]) if title_words(text) else user_id or ""


def found(words: list[str], context: Context) -> tuple[Ranked, NDArray[np.float64]]:
    """The eligible items that match, best first, and the (n,) text score of each; all others become not eligible."""
    matches = context.serving.catalogue.title_matches(words, context.now)
    is_eligible = context.eligible.has(matches.rows)
    rows, text_scores = matches.rows[is_eligible], matches.text_scores[is_eligible].astype(np.float64)
    context.eligible.keep_only(rows)
    if len(rows) > N_ORDERED:
        is_near = text_scores >= np.partition(text_scores, -N_ORDERED)[-N_ORDERED]
        rows, text_scores = rows[is_near], text_scores[is_near]
    scores = score(rows, context.side, context.serving)
    # z = (score - mean) / standard deviation
    z = (scores - scores.mean()) / max(float(scores.std()), 1e-6) if len(rows) else scores
    standings = text_scores + USER_WEIGHT / (1 + np.exp(-z.astype(np.float64)))
    # Ties by key: rows differ between snapshots.
    order = np.lexsort((context.serving.catalogue.keys[rows], -standings.round(6)))
    rows = rows[order]
    ranked = Ranked(rows, scores[order], standings[order], np.zeros(len(rows), np.int64))
    return ranked, text_scores[order].round(4)


def _without_text(answer: Recommendations | ExplainedRecommendations) -> SearchResults:
    items = [
        FoundItem(each.item_id, each.title, each.score, each.predicted_rating, each.sources) for each in answer.items
    ]
    return SearchResults(
        answer.recommendation_id,
        answer.snapshot_version,
        answer.strategy,
        items,
        answer.next_cursor,
        answer.limit_reached,
        answer.notes,
    )
