"""The name of a mix: the categories that it has more of than other lists, "Sci-Fi & Action"."""

import math
from itertools import combinations, count
from typing import NamedTuple

import numpy as np

from app.serving.retrieval.category import N_USUAL, most_frequent, telling_categories
from app.serving.rows import Rows
from app.serving.serving_state import ServingState

LEAST_SHARE = 0.3
"""Of the liked items of a mix: categories with a smaller share do not name it."""

N_COMPARED = 8
"""The most frequent categories, of which all pairs are compared: items may have hundreds in common."""


class MixName(NamedTuple):
    """`categories`: none where the mix is named after an item."""

    text: str
    categories: list[str]


class MixNames:
    """Names the mixes of one answer; no two names are the same."""

    def __init__(self, serving: ServingState) -> None:
        self._serving = serving
        self._catalogue = serving.catalogue
        self._usual = serving.popular_rows[:N_USUAL]
        self._taken: set[str] = set()
        self._named_by: set[frozenset[str]] = set()

    def of(self, liked_rows: Rows, near_rows: Rows) -> MixName:
        """The name of a mix: of liked items (n,), the most typical one first, and what is near to them (m,).

        It is made of one or two categories, the most telling ones that no other mix is named by. Where all are taken,
        the title of the most typical item follows; where no category is telling, that title is the name.
        """
        choices = self._choices(liked_rows, near_rows)
        free = next((each for each in choices if frozenset(each) not in self._named_by), None)
        if free is not None:
            self._named_by.add(frozenset(free))
            return MixName(self._untaken(" & ".join(free)), free)
        if choices:
            return MixName(self._untaken(f"{' & '.join(choices[0])}: {self._title(liked_rows[0])}"), choices[0])
        return MixName(self.after(liked_rows[0]), [])

    def after(self, row: int) -> str:
        """The name of a mix that is about one item."""
        return self._untaken(self._title(row))

    def _title(self, row: int) -> str:
        return self._catalogue.titles[row] or self._catalogue.item_ids[row]

    def _untaken(self, text: str) -> str:
        """`text`, with a number where another mix has this name: two items may have the same title."""
        texts = (text if number == 1 else f"{text} ({number})" for number in count(1))
        name = next(each for each in texts if each not in self._taken)
        self._taken.add(name)
        return name

    def _choices(self, liked_rows: Rows, near_rows: Rows) -> list[list[str]]:
        """Categories that may name the mix, one or two together, the most telling first.

        By share x ln(share / usual share) of the items that have all of them; only the first where none is above usual.
        """
        compared = np.concatenate((liked_rows, near_rows, self._usual))
        samples = np.split(np.arange(len(compared)), np.cumsum((len(liked_rows), len(near_rows))))
        members = {name: self._catalogue.in_category(name)[compared] for name in self._frequent(liked_rows)}
        telling: dict[tuple[str, ...], float] = {}
        for categories in (*combinations(members, 1), *combinations(members, 2)):
            has_all = np.logical_and.reduce([members[name] for name in categories])
            liked, near, usual = (int(np.count_nonzero(has_all[sample])) for sample in samples)
            share = liked / len(liked_rows)
            if share < LEAST_SHARE:
                continue
            # Few liked items have categories in common by chance, and what is near to them has those of popular items.
            # Both count by half, however many there are.
            if len(near_rows):
                share = (share + near / len(near_rows)) / 2
            # Add-one smoothing: a category that only new items have is rare, not impossible.
            telling[categories] = share * math.log(share * (len(self._usual) + 1) / (usual + 1))
        ordered = sorted(telling, key=lambda categories: -telling[categories])
        above_usual = [categories for categories in ordered if telling[categories] > 0]
        return [list(categories) for categories in above_usual or ordered[:1]]

    def _frequent(self, rows: Rows) -> list[str]:
        """The categories most frequent in `rows`, without those of nearly all items."""
        codes = most_frequent(self._catalogue.category_counts(rows))
        telling = telling_categories(codes, self._serving)
        return [self._catalogue.category_names[code] for code in telling[:N_COMPARED]]
