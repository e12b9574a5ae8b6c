"""The catalogue as an operator looks through it: by a part of the title, a filter and an order, a page at a time.

Unlike search for users, it finds unavailable items as well, also by id, and no user's taste acts. All of it is in
memory, so that no page needs a scan of the table.
"""

from typing import Literal, NamedTuple

import numpy as np

from app.serving.catalogue import Catalogue, Mask, title_words
from app.serving.expressions import Filter
from app.serving.rows import NO_ROWS, Rows
from app.serving.serving_state import ServingState

ItemOrder = Literal["popular", "unpopular", "newest"]
ORDERS: tuple[ItemOrder, ...] = ("popular", "unpopular", "newest")


class ItemList(NamedTuple):
    """`rows`: of the page. `n_found`: on all pages.

    `is_near`: no title holds the text and no item has it for an id; these have titles that are alike.
    """

    rows: Rows
    n_found: int
    is_near: bool


def list_items(
    serving: ServingState,
    *,
    text: str = "",
    filter_: Filter | None = None,
    order: ItemOrder = "popular",
    now: int,
    start: int = 0,
    limit: int = 50,
) -> ItemList:
    """`text`: a part of a title, whatever the case, or an id; the words of a title, with typos, where nothing has it.

    `now`: microseconds UTC. `start`: items on earlier pages. Raises `ExpressionError` for a filter that names an
    unknown attribute.
    """
    catalogue = serving.catalogue
    mask = catalogue.stored().copy()
    if filter_ is not None:
        _keep(mask, filter_.mask(catalogue, now=now))
    near: Rows = NO_ROWS
    if text:
        holds = _holding(text, catalogue)
        if not holds.any() and (words := title_words(text)):
            near = catalogue.title_matches(words, now).rows
            near = near[near < len(mask)]
            near = near[mask[near]]
        _keep(mask, holds)
    if len(near):
        # In the order of the match, which is what was asked for.
        return ItemList(near[start : start + limit], len(near), is_near=True)
    rows = _ordered(mask, order, serving, start + limit)
    return ItemList(rows[start : start + limit], int(np.count_nonzero(mask)), is_near=False)


def _keep(mask: Mask, others: Mask) -> None:
    # Rows may have arrived in between.
    mask[len(others) :] = False
    mask &= others[: len(mask)]


def _holding(text: str, catalogue: Catalogue) -> Mask:
    holds = catalogue.packed("title", is_casefolded=True).containing(text.casefold())
    # Ids as a whole: to pack them for a search of their parts takes as long as titles, after each change of an item.
    row = catalogue.row_of_id(text)
    if row is not None and row < len(holds):
        holds[row] = True
    return holds


def _ordered(mask: Mask, order: ItemOrder, serving: ServingState, n: int) -> Rows:
    """At least the first `n` rows in the mask."""
    if order == "newest":
        rows = serving.catalogue.newest.first(n, mask)
        if len(rows) < n:  # bare items come last
            others = mask.copy()
            others[rows] = False
            rows = np.append(rows, np.flatnonzero(others))
        return rows
    popular = serving.popular_rows
    # Items newer than the snapshot are as popular as those that nobody has chosen.
    newer = np.flatnonzero(mask[len(popular) :]) + len(popular)
    rows = np.append(popular[mask[popular]], newer)
    return rows if order == "popular" else rows[::-1]
