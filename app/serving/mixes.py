"""Mixes: the user's taste in parts, each a coherent list with a name from its categories."""

from asyncio import to_thread
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from app.algorithms.spherical_k_means import cluster_centres, cluster_directions
from app.serving.context import Context
from app.serving.mix_names import MixNames
from app.serving.provenance import BIT
from app.serving.query import Candidates, Query, RecommendedItem
from app.serving.ranking import rank, vectors_of
from app.serving.recommend import Recommender, items_of
from app.serving.request_state import RequestState
from app.serving.retrieval.category import popular_categories
from app.serving.rows import Rows

MAX_LIKED = 200
"""The items liked last, which make up the taste."""

LEAST_LIKED = 3
"""Liked items that a part of the taste has, unless it is the only one."""

POOL_FACTOR = 5
"""Candidates of each mix: so many times what is asked for. Those that are closer to another mix are left to it."""

N_BECAUSE = 3


@dataclass(slots=True)
class Mix:
    """`categories`: which the name is made of, where it is. `because`: the liked items that are most typical of it."""

    name: str
    categories: list[str]
    because: list[str]
    items: list[RecommendedItem]


@dataclass(slots=True)
class Mixes:
    """The part of the taste that most of the liked items belong to comes first. `strategy`: as of recommendations."""

    recommendation_id: str
    snapshot_version: int | None
    strategy: str
    mixes: list[Mix]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the taste: liked rows, the most typical first, and the direction (k,) they point to."""

    liked_rows: Rows
    centre: NDArray[np.float64]


class Mixer:
    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def mixes(self, n_mixes: int, query: Query, request_state: RequestState) -> Mixes:
        """Up to `n_mixes`, fewer where the taste has fewer parts; no item is in two.

        For somebody who has liked nothing, of popular categories.
        """
        context = await self._recommender.restricted(query, request_state)
        mixes = await to_thread(mixed, n_mixes, context)
        head = (self._recommender.recommendation_id(context), context.serving.version, context.user.strategy)
        return Mixes(*head, mixes)


def mixed(n_mixes: int, context: Context) -> list[Mix]:
    parts = parts_of(n_mixes, context)
    if not parts:
        return list(islice(_of_categories(context), n_mixes))
    names = MixNames(context.serving)
    mixes = (_of_part(number, parts, names, context) for number in range(len(parts)))
    return [mix for mix in mixes if mix.items]


def parts_of(n_parts: int, context: Context) -> list[Part]:
    """The parts of the taste, by what was liked; that with the most liked items first, ties by the latest."""
    snapshot = context.serving.snapshot
    if snapshot is None:
        return []
    liked = context.user.liked_rows(snapshot.liked_from)
    liked = liked[liked < snapshot.n_items][:MAX_LIKED]
    directions = snapshot.directions(snapshot.item_vectors[liked])
    points_somewhere = np.any(directions != 0, axis=1)
    liked, directions = liked[points_somewhere], directions[points_somewhere]
    labels = cluster_directions(directions, n_parts, LEAST_LIKED)
    found = []
    for label, centre in enumerate(cluster_centres(directions, labels)):
        members = np.flatnonzero(labels == label)
        typical_first = np.argsort(-(directions[members] @ centre), kind="stable")
        found.append((-len(members), members[0], Part(liked[members][typical_first], centre)))
    return [part for *_, part in sorted(found, key=lambda each: each[:2])]


def _of_part(number: int, parts: Sequence[Part], names: MixNames, context: Context) -> Mix:
    """What somebody would be shown who had liked these items alone, and is closest to them; by the user's own score."""
    part, serving, limit = parts[number], context.serving, context.options.limit
    if serving.snapshot is None:
        raise LookupError("nothing is learned yet")
    near = replace(context)
    near.side = context.user.side_of_liked(part.liked_rows, serving.snapshot)
    pool = near.best(POOL_FACTOR * limit)
    likeness = serving.snapshot.directions(vectors_of(pool, serving)) @ np.stack([each.centre for each in parts]).T
    rows = pool[np.argmax(likeness, axis=1) == number][:limit]
    name = names.of(np.append(part.liked_rows, rows), int(part.liked_rows[0]))
    because = [serving.catalogue.item_ids[row] for row in part.liked_rows[:N_BECAUSE].tolist()]
    return Mix(name.text, name.categories, because, _shown(rows, context))


def _of_categories(context: Context) -> Iterator[Mix]:
    catalogue = context.serving.catalogue
    for code in popular_categories(context.serving):
        name = catalogue.category_names[code]
        rows = context.best(context.options.limit, catalogue.in_category(name))
        context.eligible.drop(rows)
        if len(rows):
            yield Mix(name, [name], [], _shown(rows, context))


def _shown(rows: Rows, context: Context) -> list[RecommendedItem]:
    proposed_by = np.full(len(rows), BIT["nearest"])
    return items_of(rank(Candidates(np.sort(rows), proposed_by), context), context)
