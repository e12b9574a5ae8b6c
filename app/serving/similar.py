"""Items similar to an item, as a list of steps.

The context and the restrictions are those of every other list, so that filters, a placement and what a user has act
before the cut: there are `limit` items while that many are eligible and similar. The rules of order of a placement do
not act, since the order is by similarity.
"""

from asyncio import to_thread
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.errors import NotFoundError
from app.scoring.similar import best
from app.serving import costs
from app.serving.parts import Context
from app.serving.query import Query, SimilarItem, SimilarItems
from app.serving.ranking import score
from app.serving.recommend import Recommender, category_notes, restrict
from app.serving.request_state import RequestState
from app.serving.rows import NO_ROWS, Rows
from app.serving.tokens import LAST_PAGE, Paging, TokenSigner
from app.store.items import Items

SimilarKind = Literal["blend", "taste", "together", "next"]
"""In what items are alike: all that is known (`blend`), liked by the same users, chosen together, or chosen one after
the other."""

BLEND: SimilarKind = "blend"

LIFT, MOST_LIFTED = 0.25, 2.0
"""For a user, an item's similarity counts e^(LIFT z) times, z its score in standard deviations of the candidates, at
most `MOST_LIFTED`: from 0.6 to 1.6 times."""

Content = sparse.csr_array
Contributions = Mapping[str, NDArray[np.float32]]

MAX_CONTENTS = 1_000
"""Items newer than the snapshot whose content is remembered, in case that the database does not answer."""

NO_SIMILARITIES: NDArray[np.float32] = np.empty(0, np.float32)


class Similar(NamedTuple):
    """Rows (n,) with their similarities (n,), in the order in which they are to be shown."""

    rows: Rows
    similarities: NDArray[np.float32]

    def take(self, places: NDArray[np.integer] | slice) -> "Similar":
        return Similar(self.rows[places], self.similarities[places])


NOTHING = Similar(NO_ROWS, NO_SIMILARITIES)


def listing_of(item_id: str, user_id: str | None) -> str:
    """The question, for cursors: the item and the user. Ids hold no NUL."""
    return f"{user_id or ''}\0similar\0{item_id}"


class SimilarItemFinder:
    """Answers which items are similar; shared by all requests of a process."""

    def __init__(self, recommender: Recommender, tokens: TokenSigner, items: Items) -> None:
        self._recommender = recommender
        self._tokens = tokens
        self._items = items
        self._contents: dict[tuple[str, int], Content] = {}

    async def similar_items(
        self, item_id: str, kind: SimilarKind, query: Query, request_state: RequestState
    ) -> SimilarItems:
        """The eligible items most similar to this one, best first, for the user of the query if there is one.

        Raises `NotFoundError` for an unknown item, `UnknownPlacementError` for an unknown placement.
        """
        row = request_state.serving.catalogue.row_of_id(item_id)
        if row is None:
            raise NotFoundError("item", item_id)
        context = await self._recommender.context(query, request_state)
        threads = self._recommender.threads
        await threads.run(costs.of_list(context), restrict, context)
        context.eligible.drop(np.array([row]))
        is_newer = row >= request_state.serving.n_learned
        content = await self._content_of(row, request_state) if is_newer else None
        found = await self._found(row, kind, content, context)
        shown = lifted(found, context).take(slice(query.options.limit))
        paging = self._paging(item_id, shown, context) if len(found.rows) > len(shown.rows) else LAST_PAGE
        notes = category_notes(query.options.categories, context.serving.catalogue)
        if is_newer and content is None:
            notes.append("the item is newer than the snapshot, and what it is is not known now")
        recommendation_id, version, _ = self._recommender.heading(context)
        items = items_of(shown, contributions_of(row, kind, content, shown, context), context)
        return SimilarItems(item_id, recommendation_id, version, kind, items, *paging, notes)

    async def _content_of(self, row: int, request_state: RequestState) -> Content | None:
        """Of an item newer than the snapshot, read from the store; None in a degraded state where not remembered."""
        serving = request_state.serving
        key = int(serving.catalogue.keys[row])
        # Content is of the features of one snapshot.
        place = f"{serving.generation} {serving.version}", key
        if request_state.is_degraded:
            return self._contents.get(place)
        items = await to_thread(self._items.of_keys, [key])
        # An item that was deleted at this moment has no content, and nothing is similar to it.
        content = serving.scorer.content_of([*items.values()])
        if len(self._contents) >= MAX_CONTENTS:
            self._contents.clear()
        self._contents[place] = content
        return content

    async def _found(self, row: int, kind: SimilarKind, content: Content | None, context: Context) -> Similar:
        """The best eligible ones, one more than the limit where there are as many."""
        scorer, limit = context.serving.scorer, context.options.limit
        is_newer = row >= context.serving.n_learned
        if not scorer.is_learned or (is_newer and (content is None or kind != BLEND)):
            return NOTHING
        if content is not None:
            return await self._recommender.threads.apart(_best, scorer.item_similarity.to_newer(content), context)
        if kind in {"together", "next"}:
            return _eligible(*scorer.proposed_by(row, kind, scorer.n_items), context)
        if kind == BLEND and len(stored := scorer.arrays.similar_rows):
            found = _eligible(*scorer.similar(row, stored.shape[1]), context)
            if len(found.rows) > limit:
                return found
        # Stored lists are too short for a narrow filter or a late page: a scan of all items.
        return await self._recommender.threads.apart(_scanned, row, kind, context)

    def _paging(self, item_id: str, shown: Similar, context: Context) -> Paging:
        query, keys = context.query, context.serving.catalogue.keys[shown.rows]
        listing = listing_of(item_id, query.user_id)
        return self._tokens.paging(listing, query.returned_keys, keys, context.options.limit)


def neighbours_of(row: int, context: Context) -> Rows:
    """Rows, the most similar first, eligible or not; `row` is learned.

    Where similar items are not stored, the best for a user who liked this item alone: a search for each item would take
    longer than the rest of the answer.
    """
    scorer = context.serving.scorer
    if len(scorer.arrays.similar_rows):
        rows, _ = scorer.similar(row, scorer.arrays.similar_rows.shape[1])
        return rows
    near = replace(context, side=context.user.side_of_liked(np.array([row]), scorer))
    return near.best(context.options.limit)


def lifted(found: Similar, context: Context) -> Similar:
    """What suits the user moves up; unchanged where nothing is known of a user."""
    if context.user.is_unknown or not len(found.rows):
        return found
    scores = score(found.rows, context.side, context.serving).astype(np.float64)
    deviation = float(scores.std())
    if deviation == 0:
        return found
    levels = ((scores - scores.mean()) / deviation).clip(-MOST_LIFTED, MOST_LIFTED)
    return found.take(np.argsort(-found.similarities * np.exp(LIFT * levels), kind="stable"))


def contributions_of(
    row: int, kind: SimilarKind, content: Content | None, shown: Similar, context: Context
) -> Contributions:
    """Part -> what it adds to the similarity of each shown item, (n,)."""
    if kind != BLEND or not len(shown.rows):
        return {kind: shown.similarities}
    similarity = context.serving.scorer.item_similarity
    if content is not None:
        return similarity.content_contributions(content, shown.rows)
    return similarity.contributions(row, shown.rows)


def items_of(shown: Similar, contributions: Contributions, context: Context) -> list[SimilarItem]:
    catalogue = context.serving.catalogue
    # One conversion of each array; a part that adds nothing to an item is left out.
    columns = {name: _rounded(values) for name, values in contributions.items()}
    return [
        SimilarItem(
            catalogue.item_ids[row],
            catalogue.titles[row],
            similarity,
            {name: values[place] for name, values in columns.items() if values[place]},
        )
        for place, (row, similarity) in enumerate(zip(shown.rows.tolist(), _rounded(shown.similarities), strict=True))
    ]


def _rounded(values: NDArray[np.float32]) -> list[float]:
    rounded: list[float] = values.astype(np.float64).round(5).tolist()
    return rounded


def _scanned(row: int, kind: SimilarKind, context: Context) -> Similar:
    similarity = context.serving.scorer.item_similarity
    return _best(similarity.to_item(row) if kind == BLEND else similarity.by_taste(row), context)


def _best(similarities: NDArray[np.float32], context: Context) -> Similar:
    """The best eligible ones by `similarities` (n_items,) of all items of the snapshot."""
    stored = context.serving.scorer.arrays.similar_rows.shape[1]
    eligible = np.where(context.eligible.mask[: len(similarities)], similarities, np.float32(0))
    # As many as a stored list holds, so that a user's scores choose from as many.
    return Similar(*best(eligible, max(context.options.limit + 1, stored)))


def _eligible(rows: Rows, similarities: NDArray[np.float32], context: Context) -> Similar:
    is_shown = context.eligible.has(rows) & (similarities > 0)
    return Similar(rows[is_shown], similarities[is_shown])
