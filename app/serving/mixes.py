"""Mixes: what a user likes in parts, each a coherent list with a name from its categories."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from app.algorithms.spherical_k_means import cluster_centres, cluster_directions
from app.serving.candidates import Candidates
from app.serving.catalogue import Mask
from app.serving.mix_names import MixName, MixNames
from app.serving.parts import Context
from app.serving.query import Degraded, Query, RecommendedItem
from app.serving.ranking import rank
from app.serving.recommend import Recommender, items_of, restrict
from app.serving.request_state import RequestState
from app.serving.retrieval.category import popular_categories, telling_categories
from app.serving.rows import NO_ROWS, Rows, within
from app.serving.similar import neighbours_of

MAX_LIKED = 200
"""The items liked last, which are divided into parts."""

LEAST_LIKED = 3
"""Liked items of a part, unless it is the only one."""

POOL_FACTOR = 5
"""Candidates of each mix: so many times the items requested. Those that are closer to another mix are left to it."""

N_BECAUSE = 3

LEAST_SIMILAR = 3
"""Items of a mix that is about one liked item, unless fewer are requested."""


@dataclass(slots=True)
class Mix:
    """`categories`: those that the name is made of; empty for a mix that is named after an item. Every item has at
    least one of them. `category_share`: of the items, those that have all of `categories`; None where there are none.
    `because`: the liked items that are most typical of it.
    """

    name: str
    categories: list[str]
    category_share: float | None
    because: list[str]
    items: list[RecommendedItem]


@dataclass(slots=True)
class Mixes:
    """The part with the most liked items comes first. `strategy`: as in `Recommendations`."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    mixes: list[Mix]
    degraded: Degraded = False


@dataclass(frozen=True, slots=True)
class LikedPart:
    """One part of what a user likes: liked rows, the most typical first, and their direction (k,)."""

    liked_rows: Rows
    centre: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Theme:
    """A mix before it has items: its part and name, and the user side that finds candidates.

    `pool`: the best candidates, of any categories. `masks`: (n_rows,) each, the items that may be in the mix. The last
    holds all of them, the others those that come first.
    """

    part: LikedPart
    name: MixName
    near: Context
    pool: Rows
    masks: list[Mask]

    def pools(self, n: int) -> Iterator[Rows]:
        """Candidates that fit the name, those that come first in the first ones; repeatedly the same."""
        for mask in self.masks:
            # Nearly always they suffice, and they are at hand.
            yield self.pool[mask[self.pool]]
            yield self.near.best(n, mask)


class Mixer:
    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def mixes(self, n_mixes: int, query: Query, request_state: RequestState) -> Mixes:
        """Up to `n_mixes`, fewer where the liked items have fewer parts; no item is in two.

        For a user who has liked nothing, of popular categories.
        """
        context = await self._recommender.context(query, request_state)
        mixes = await self._recommender.threads.apart(mixed, n_mixes, context)
        return Mixes(*self._recommender.heading(context), mixes)


def mixed(n_mixes: int, context: Context) -> list[Mix]:
    restrict(context)
    themes = themes_of(parts_of(n_mixes, context), context)
    if not themes:
        return list(islice(_of_items(context), n_mixes)) or list(islice(_of_categories(context), n_mixes))
    mixes = (_of_theme(number, themes, context) for number in range(len(themes)))
    return [mix for mix in mixes if mix.items]


def parts_of(n_parts: int, context: Context) -> list[LikedPart]:
    """The parts of what was liked; that with the most liked items first, ties by the latest."""
    scorer = context.serving.scorer
    liked = context.user.liked_rows(scorer.liked_from)
    liked = liked[liked < context.serving.n_learned][:MAX_LIKED]
    directions = scorer.directions(scorer.item_vectors[liked])
    # An item without learned vectors has no direction, and belongs to no part.
    has_direction = np.any(directions != 0, axis=1)
    liked, directions = liked[has_direction], directions[has_direction]
    # Spherical k-means: parts are by the angle between items, as is similarity.
    labels = cluster_directions(directions, n_parts, LEAST_LIKED)
    parts = []
    for label, centre in enumerate(cluster_centres(directions, labels)):
        members = np.flatnonzero(labels == label)
        # Cosine with the centre of the part, since both have length 1.
        typical_first = np.argsort(-(directions[members] @ centre), kind="stable")
        parts.append((-len(members), members[0], LikedPart(liked[members][typical_first], centre)))
    return [part for *_, part in sorted(parts, key=lambda each: each[:2])]


def themes_of(parts: Sequence[LikedPart], context: Context) -> list[Theme]:
    names, themes = MixNames(context.serving), []
    for part in parts:
        # Candidates are those of a user who liked this part alone; the order shown is by the whole user side.
        near = replace(context, side=context.user.side_of_liked(part.liked_rows, context.serving.scorer))
        pool = near.best(POOL_FACTOR * context.options.limit)
        name = names.of(part.liked_rows, pool[: context.options.limit])
        themes.append(Theme(part, name, near, pool, _masks(name.categories, context)))
    return themes


def _masks(categories: Sequence[str], context: Context) -> list[Mask]:
    """A mix holds items of the named categories alone, first those that have all of them."""
    if not categories:
        return [np.ones(len(context.eligible.mask), np.bool_)]
    catalogue = context.serving.catalogue
    in_named = catalogue.in_any_category(categories)
    return [in_named] if len(categories) == 1 else [catalogue.in_all_categories(categories), in_named]


def _of_theme(number: int, themes: Sequence[Theme], context: Context) -> Mix:
    """Items of the categories in the name that are closest to this part; by the user's own score."""
    theme, item_ids, limit = themes[number], context.serving.catalogue.item_ids, context.options.limit
    rows = NO_ROWS
    for pool in theme.pools(POOL_FACTOR * limit):
        mine = pool[_closest(pool, themes, context) == number]
        rows = np.append(rows, mine[~within(mine, rows)])[:limit]
        if len(rows) == limit:
            break
    because = [item_ids[row] for row in theme.part.liked_rows[:N_BECAUSE].tolist()]
    categories = theme.name.categories
    share = round(float(np.mean(theme.masks[0][rows])), 3) if categories and len(rows) else None
    return Mix(theme.name.text, categories, share, because, _shown(rows, context))


def _closest(rows: Rows, themes: Sequence[Theme], context: Context) -> NDArray[np.intp]:
    """(n,) which theme each item is left to: the closest of those it fits, so that no item is in two mixes."""
    serving = context.serving
    centres = np.stack([theme.part.centre for theme in themes])
    likeness = serving.scorer.directions(serving.vectors_of(rows)) @ centres.T
    fits = np.stack([theme.masks[-1][rows] for theme in themes], axis=1)
    closest: NDArray[np.intp] = np.argmax(np.where(fits, likeness, -np.inf), axis=1)
    return closest


def _of_items(context: Context) -> Iterator[Mix]:
    """Where items have no directions and cannot be divided into parts: what is similar to each liked item."""
    catalogue, names = context.serving.catalogue, MixNames(context.serving)
    liked = context.user.liked_rows(context.serving.scorer.liked_from)
    for row in liked[liked < context.serving.n_learned][:MAX_LIKED].tolist():
        rows = context.eligible.first(context.options.limit, neighbours_of(row, context))
        if len(rows) >= min(LEAST_SIMILAR, context.options.limit):
            yield Mix(names.after(row), [], None, [catalogue.item_ids[row]], _shown(rows, context))
            context.eligible.drop(rows)  # no item is in two mixes


def _of_categories(context: Context) -> Iterator[Mix]:
    catalogue = context.serving.catalogue
    codes = popular_categories(context.serving)
    for code in telling_categories(codes, context.serving) or codes:
        name = catalogue.category_names[code]
        rows = context.best(context.options.limit, catalogue.in_category(name))
        context.eligible.drop(rows)  # no item is in two mixes
        if len(rows):
            yield Mix(name, [name], 1.0, [], _shown(rows, context))


def _shown(rows: Rows, context: Context) -> list[RecommendedItem]:
    candidates = Candidates(np.sort(rows), np.full(len(rows), context.bits["nearest"]))
    return items_of(rank(candidates, context), context)
