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


class Shelf(NamedTuple):
    """`rows`: eligible, in the order shown, at most as many as are asked for. `proposer`: see `proposers.py`."""

    row_id: str
    title: str
    proposer: str
    rows: Rows


def shelves(context: Context) -> Iterator[Shelf]:
    """One of each kind first, so that a page of few rows is a mixed one."""
    liked, categories = (
        islice(because_you_liked(context), N_OF_LIKED),
        islice(top_in_categories(context), N_OF_CATEGORIES),
    )
    single = (popular, trending, newest, something_different)
    return chain(islice(liked, 1), islice(categories, 1), *(kind(context) for kind in single), liked, categories)


def because_you_liked(context: Context) -> Iterator[Shelf]:
    """What is most like an item that the user liked, for those liked last."""
    snapshot, catalogue = context.live.snapshot, context.live.catalogue
    if snapshot is None:
        return
    liked = context.taste.liked_rows(snapshot.liked_from)
    for row in liked[liked < snapshot.n_items][:N_LIKED].tolist():
        title = f"Because you liked {catalogue.titles[row] or catalogue.item_ids[row]}"
        yield from _shelf(f"liked:{catalogue.item_ids[row]}", title, "similar", _like(row, context), context)


def _like(row: int, context: Context) -> Rows:
    """Looked up where the neighbours of items are stored; or else what suits somebody who liked this item alone."""
    snapshot = context.live.snapshot
    if snapshot is None:
        raise LookupError("nothing is learned yet")
    if len(snapshot.similar_rows):
        rows, _ = snapshot.similar(row, snapshot.similar_rows.shape[1])
        return rows
    near = replace(context)
    near.side = context.taste.side_of_liked(np.array([row]), snapshot)
    return near.best(context.wishes.limit)


def top_in_categories(context: Context) -> Iterator[Shelf]:
    """The best for the user in each of the categories liked most, or of the most popular ones."""
    catalogue = context.live.catalogue
    for code in favourite_categories(context.taste, context.live) or popular_categories(context.live):
        name = catalogue.category_names[code]
        rows = context.best(context.wishes.limit, catalogue.in_category(name))
        yield from _shelf(f"category:{name}", f"Top in {name}", "category", rows, context)


def popular(context: Context) -> Iterator[Shelf]:
    """In the user's country, where that is known; or everywhere, if that is not what is picked anyway."""
    snapshot, user = context.live.snapshot, context.taste.user
    country = None if user is None else user.country
    if snapshot is not None and country is not None:
        rows = snapshot.group_rows_of("country", country).astype(np.int64)
        yield from _shelf(f"country:{country}", f"Popular in {country}", "group", rows, context)
    elif not context.taste.is_unknown:
        yield from _shelf("popular", "Popular", "popular", context.live.popular_rows, context)


def trending(context: Context) -> Iterator[Shelf]:
    yield from _shelf("trending", "Trending now", "trending", context.live.trending_rows, context)


def newest(context: Context) -> Iterator[Shelf]:
    """What is known to be new: by the time it was added, or because it came after the snapshot."""
    live = context.live
    rows = live.catalogue.newest(context.wishes.limit, context.eligible.mask)
    is_new = live.catalogue.added_at[rows] != UNKNOWN_TIME
    if live.snapshot is not None:
        is_new |= rows >= live.n_learned
    yield from _shelf("newest", "New", "newest", rows[is_new], context)


def something_different(context: Context) -> Iterator[Shelf]:
    """Good elsewhere, deliberately unlike the user's taste."""
    snapshot, side = context.live.snapshot, context.taste.side
    if snapshot is None or side is None or context.taste.is_unknown:
        return
    elsewhere = replace(context)
    elsewhere.side = turned(side, snapshot)
    rows = elsewhere.best(context.wishes.limit)
    yield from _shelf("different", "Something different", "nearest", rows, context)


def _shelf(row_id: str, title: str, proposer: str, rows: Rows, context: Context) -> Iterator[Shelf]:
    """None with fewer than a few eligible items."""
    limit = context.wishes.limit
    shown = context.eligible.among(rows)[:limit]
    if len(shown) >= min(FEWEST, limit):
        yield Shelf(row_id, title, proposer, shown)
