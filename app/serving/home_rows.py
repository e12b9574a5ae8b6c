"""The rows that a home page may have below what is picked for the user, each with what it is filled from.

Made one by one, as they are asked for: whatever stands in those above is not eligible any more.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from app.entities import UNKNOWN_TIME
from app.serving.context import Context
from app.serving.reranking.dissimilar import turned
from app.serving.retrieval.category import favourite_categories, popular_categories
from app.serving.rows import Rows

FEWEST = 3
"""Items that a row has, unless fewer are asked for: it is left out otherwise."""

N_LIKED = 10
"""The items liked last, of which one or another has enough that is like it."""

N_OF_LIKED, N_OF_CATEGORIES = 2, 3


class HomeRowCandidates(NamedTuple):
    """`rows`: eligible, in the order shown, at most as many as are asked for. `proposer`: see `provenance.py`."""

    row_id: str
    title: str
    proposer: str
    rows: Rows


def home_row_candidates(context: Context) -> Iterator[HomeRowCandidates]:
    """One of each kind first, so that a page of few rows is a mixed one."""
    liked, categories = (
        islice(because_you_liked(context), N_OF_LIKED),
        islice(top_in_categories(context), N_OF_CATEGORIES),
    )
    single = (popular, trending, newest, something_different)
    return chain(islice(liked, 1), islice(categories, 1), *(kind(context) for kind in single), liked, categories)


def because_you_liked(context: Context) -> Iterator[HomeRowCandidates]:
    """What is most like an item that the user liked, for those liked last."""
    snapshot, catalogue = context.serving.snapshot, context.serving.catalogue
    if snapshot is None:
        return
    liked = context.user.liked_rows(snapshot.liked_from)
    for row in liked[liked < snapshot.n_items][:N_LIKED].tolist():
        title = f"Because you liked {catalogue.titles[row] or catalogue.item_ids[row]}"
        yield from _shelf(f"liked:{catalogue.item_ids[row]}", title, "similar", _like(row, context), context)


def _like(row: int, context: Context) -> Rows:
    """Looked up where the neighbours of items are stored; or else what suits somebody who liked this item alone."""
    snapshot = context.serving.snapshot
    if snapshot is None:
        raise LookupError("nothing is learned yet")
    if len(snapshot.similar_rows):
        rows, _ = snapshot.similar(row, snapshot.similar_rows.shape[1])
        return rows
    near = replace(context)
    near.side = context.user.side_of_liked(np.array([row]), snapshot)
    return near.best(context.options.limit)


def top_in_categories(context: Context) -> Iterator[HomeRowCandidates]:
    """The best for the user in each of the categories liked most, or of the most popular ones."""
    catalogue = context.serving.catalogue
    for code in favourite_categories(context.user, context.serving) or popular_categories(context.serving):
        name = catalogue.category_names[code]
        rows = context.best(context.options.limit, catalogue.in_category(name))
        yield from _shelf(f"category:{name}", f"Top in {name}", "category", rows, context)


def popular(context: Context) -> Iterator[HomeRowCandidates]:
    """In the user's country, where that is known; or everywhere, if that is not what is picked anyway."""
    snapshot, user = context.serving.snapshot, context.user.profile
    country = None if user is None else user.country
    if snapshot is not None and country is not None:
        rows = snapshot.group_rows_of("country", country).astype(np.int64)
        yield from _shelf(f"country:{country}", f"Popular in {country}", "group", rows, context)
    elif not context.user.is_unknown:
        yield from _shelf("popular", "Popular", "popular", context.serving.popular_rows, context)


def trending(context: Context) -> Iterator[HomeRowCandidates]:
    yield from _shelf("trending", "Trending now", "trending", context.serving.trending_rows, context)


def newest(context: Context) -> Iterator[HomeRowCandidates]:
    """What is known to be new: by the time it was added, or because it came after the snapshot."""
    serving = context.serving
    rows = serving.catalogue.newest(context.options.limit, context.eligible.mask)
    is_new = serving.catalogue.added_at[rows] != UNKNOWN_TIME
    if serving.snapshot is not None:
        is_new |= rows >= serving.n_learned
    yield from _shelf("newest", "New", "newest", rows[is_new], context)


def something_different(context: Context) -> Iterator[HomeRowCandidates]:
    """Good elsewhere, deliberately unlike the user's taste."""
    snapshot, side = context.serving.snapshot, context.user.side
    if snapshot is None or side is None or context.user.is_unknown:
        return
    elsewhere = replace(context)
    elsewhere.side = turned(side, snapshot)
    rows = elsewhere.best(context.options.limit)
    yield from _shelf("different", "Something different", "nearest", rows, context)


def _shelf(row_id: str, title: str, proposer: str, rows: Rows, context: Context) -> Iterator[HomeRowCandidates]:
    """None with fewer than a few eligible items."""
    limit = context.options.limit
    shown = context.eligible.among(rows)[:limit]
    if len(shown) >= min(FEWEST, limit):
        yield HomeRowCandidates(row_id, title, proposer, shown)
