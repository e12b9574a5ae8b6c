"""Mixes: what a user likes in parts, each a coherent list with a name from its categories."""

from asyncio import to_thread
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from app.algorithms.spherical_k_means import cluster_centres, cluster_directions
from app.serving.candidates import Candidates
from app.serving.mix_names import MixNames
from app.serving.parts import Context
from app.serving.query import Query, RecommendedItem
from app.serving.ranking import rank, vectors_of
from app.serving.recommend import Recommender, items_of, restrict
from app.serving.request_state import RequestState
from app.serving.retrieval.category import popular_categories
from app.serving.rows import Rows

MAX_LIKED = 200
"""The items liked last, which are divided into parts."""

LEAST_LIKED = 3
"""Liked items of a part, unless it is the only one."""

POOL_FACTOR = 5
"""Candidates of each mix: so many times the items requested. Those that are closer to another mix are left to it."""

N_BECAUSE = 3


@dataclass(slots=True)
class Mix:
    """`categories`: those that the name is made of. `because`: the liked items that are most typical of it."""

    name: str
    categories: list[str]
    because: list[str]
    items: list[RecommendedItem]


@dataclass(slots=True)
class Mixes:
    """The part with the most liked items comes first. `strategy`: as in `Recommendations`."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    mixes: list[Mix]


@dataclass(frozen=True, slots=True)
class LikedPart:
    """One part of what a user likes: liked rows, the most typical first, and their direction (k,)."""

    liked_rows: Rows
    centre: NDArray[np.float64]


class Mixer:
    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def mixes(self, n_mixes: int, query: Query, request_state: RequestState) -> Mixes:
        """Up to `n_mixes`, fewer where the liked items have fewer parts; no item is in two.

        For a user who has liked nothing, of popular categories.
        """
        context = await self._recommender.context(query, request_state)
        restrict(context)
        mixes = await to_thread(mixed, n_mixes, context)
        return Mixes(*self._recommender.heading(context), mixes)


def mixed(n_mixes: int, context: Context) -> list[Mix]:
    parts = parts_of(n_mixes, context)
    if not parts:
        return list(islice(_of_categories(context), n_mixes))
    names = MixNames(context.serving)
    mixes = (_of_part(number, parts, names, context) for number in range(len(parts)))
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


def _of_part(number: int, parts: Sequence[LikedPart], names: MixNames, context: Context) -> Mix:
    """The best for a user who liked the items of this part alone, that are closest to it; by the user's own score."""
    part, serving, limit = parts[number], context.serving, context.options.limit
    # Candidates are those of a user who liked this part alone; the order shown is by the whole user side.
    near = replace(context, side=context.user.side_of_liked(part.liked_rows, serving.scorer))
    pool = near.best(POOL_FACTOR * limit)
    likeness = serving.scorer.directions(vectors_of(pool, serving)) @ np.stack([each.centre for each in parts]).T
    # No item is in two mixes: each is left to the part it is closest to.
    rows = pool[np.argmax(likeness, axis=1) == number][:limit]
    name = names.of(np.append(part.liked_rows, rows), int(part.liked_rows[0]))
    because = [serving.catalogue.item_ids[row] for row in part.liked_rows[:N_BECAUSE].tolist()]
    return Mix(name.text, name.categories, because, _shown(rows, context))


def _of_categories(context: Context) -> Iterator[Mix]:
    catalogue = context.serving.catalogue
    for code in popular_categories(context.serving):
        name = catalogue.category_names[code]
        rows = context.best(context.options.limit, catalogue.in_category(name))
        context.eligible.drop(rows)  # no item is in two mixes
        if len(rows):
            yield Mix(name, [name], [], _shown(rows, context))


def _shown(rows: Rows, context: Context) -> list[RecommendedItem]:
    candidates = Candidates(np.sort(rows), np.full(len(rows), context.bits["nearest"]))
    return items_of(rank(candidates, context), context)
