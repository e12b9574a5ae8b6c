"""A home page: titled rows in one answer, no item in two of them.

The recommendations come first. The rows below them are made one by one, and an item of a row above is not eligible any
more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from app.entities import UNKNOWN_TIME
from app.serving.candidates import Ranked
from app.serving.parts import Context
from app.serving.query import Degraded, Query, RecommendedItem
from app.serving.ranking import scored
from app.serving.recommend import Recommender, items_of, ranked_list, restrict
from app.serving.request_state import RequestState
from app.serving.reranking.dissimilar import turned
from app.serving.reranking.predicted_enough import keep_predicted, own_mean
from app.serving.retrieval.category import favourite_categories, popular_categories, telling_categories
from app.serving.rows import Rows
from app.serving.similar import neighbours_of

FEWEST = 3
"""Items of a row, unless fewer are requested: a row with fewer is left out."""

N_LIKED = 10
"""The items liked last, tried in turn until enough of them have enough similar items."""

N_OF_LIKED, N_OF_CATEGORIES = 2, 3


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
    """`strategy`: as in `Recommendations`."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    rows: list[HomeRow]
    degraded: Degraded = False


class HomePage:
    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def home(self, n_rows: int, query: Query, request_state: RequestState) -> Home:
        """Up to `n_rows` rows of up to `limit` items each; the restrictions of the placement hold in all."""
        context = await self._recommender.context(query, request_state)
        rows = await self._recommender.threads.apart(home_rows, n_rows, context)
        return Home(*self._recommender.heading(context), rows)


def home_rows(n_rows: int, context: Context) -> list[HomeRow]:
    restrict(context)
    picked = ranked_list(context).take(slice(context.options.limit))
    title = "Popular" if context.user.is_unknown else "Picked for you"
    rows = [_row("picked", title, picked, context)] if len(picked.rows) else []
    for candidates in islice(home_row_candidates(context), n_rows - len(rows)):
        shown = scored(candidates.rows, context.bits[candidates.proposer], context)
        rows.append(_row(candidates.row_id, candidates.title, shown, context))
    return rows


def _row(row_id: str, title: str, shown: Ranked, context: Context) -> HomeRow:
    # Rows below take their items from what is left.
    context.eligible.drop(shown.rows)
    return HomeRow(row_id, title, items_of(shown, context))


class HomeRowCandidates(NamedTuple):
    """`rows`: eligible, in the order shown, at most `limit`. `proposer`: the source they are marked with."""

    row_id: str
    title: str
    proposer: str
    rows: Rows


def home_row_candidates(context: Context) -> Iterator[HomeRowCandidates]:
    """The rows below the recommendations; one of each kind first, so that a page of few rows is a mixed one."""
    # Generators: a row is computed when the page needs it, after those above have taken their items.
    liked = islice(because_you_liked(context), N_OF_LIKED)
    categories = islice(top_in_categories(context), N_OF_CATEGORIES)
    single = (popular, trending, newest, something_different)
    return chain(islice(liked, 1), islice(categories, 1), *(kind(context) for kind in single), liked, categories)


def because_you_liked(context: Context) -> Iterator[HomeRowCandidates]:
    """What is most similar to an item that the user liked, for the items liked last."""
    scorer, catalogue = context.serving.scorer, context.serving.catalogue
    # Items newer than the snapshot have no neighbours.
    liked = context.user.liked_rows(scorer.liked_from)
    for row in liked[liked < context.serving.n_learned][:N_LIKED].tolist():
        title = f"Because you liked {catalogue.titles[row] or catalogue.item_ids[row]}"
        rows = neighbours_of(row, context)
        yield from _if_enough(f"liked:{catalogue.item_ids[row]}", title, "similar", rows, context)


def top_in_categories(context: Context) -> Iterator[HomeRowCandidates]:
    """The best for the user in each of the categories liked most, or of the most popular ones."""
    catalogue = context.serving.catalogue
    codes = favourite_categories(context.user, context.serving) or popular_categories(context.serving)
    for code in telling_categories(codes, context.serving) or codes:
        name = catalogue.category_names[code]
        rows = context.best(context.options.limit, catalogue.in_category(name))
        yield from _if_enough(f"category:{name}", f"Top in {name}", "category", rows, context)


def popular(context: Context) -> Iterator[HomeRowCandidates]:
    """In the user's country, where that is known; or everywhere, unless the recommendations are just that."""
    user = context.user.profile
    country = None if user is None else user.country
    if country is not None:
        rows = context.serving.scorer.groups.popular_by("country", country).astype(np.int64)
        yield from _if_enough(f"country:{country}", f"Popular in {country}", "group", rows, context)
    elif not context.user.is_unknown:
        yield from _if_enough("popular", "Popular", "popular", context.serving.popular_rows, context)


def trending(context: Context) -> Iterator[HomeRowCandidates]:
    yield from _if_enough("trending", "Trending now", "trending", context.serving.trending_rows, context)


def newest(context: Context) -> Iterator[HomeRowCandidates]:
    """What is known to be new: by the time it was added, or because it is newer than the snapshot."""
    serving = context.serving
    rows = serving.catalogue.newest.first(context.options.limit, context.eligible.mask)
    # Where neither is known, an item may be as old as the store.
    is_new = serving.catalogue.added_at[rows] != UNKNOWN_TIME
    if serving.scorer.is_learned:
        is_new |= rows >= serving.n_learned
    yield from _if_enough("newest", "New", "newest", rows[is_new], context)


def something_different(context: Context) -> Iterator[HomeRowCandidates]:
    """Good elsewhere, and deliberately unlike what the user likes; nothing predicted below the user's own mean."""
    if context.user.is_unknown:
        return
    scorer = context.serving.scorer
    elsewhere = replace(context, side=turned(context.user.side, scorer), eligible=context.eligible.copy())
    if scorer.rating is not None:
        # What is unlike the liked items may be like the disliked ones.
        keep_predicted(own_mean(context), elsewhere)
    rows = elsewhere.best(context.options.limit)
    yield from _if_enough("different", "Something different", "nearest", rows, context)


def _if_enough(row_id: str, title: str, proposer: str, rows: Rows, context: Context) -> Iterator[HomeRowCandidates]:
    """The row, unless fewer than a few of `rows` are eligible."""
    limit = context.options.limit
    shown = context.eligible.among(rows)[:limit]
    if len(shown) >= min(FEWEST, limit):
        yield HomeRowCandidates(row_id, title, proposer, shown)
