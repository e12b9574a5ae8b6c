"""What a mix is called: after the categories that it has more of than other lists, "Sci-Fi & Action"."""

from typing import NamedTuple

import numpy as np

from app.serving.rows import Rows
from app.serving.serving_state import ServingState

N_USUAL = 1_000
"""The most popular items show how frequent categories are elsewhere."""

LEAST_SHARE = 0.3
"""Of the items of a mix: a category that fewer belong to is not what it is about."""

N_NAMED = 2


class MixName(NamedTuple):
    text: str
    categories: list[str]


class MixNames:
    """Of the mixes of one answer: no two are called alike."""

    def __init__(self, serving: ServingState) -> None:
        self._catalogue = serving.catalogue
        usual = serving.popular_rows[:N_USUAL]
        # As if there were one more of each, so that a category of new items only is rare, not impossible.
        self._usual = (serving.catalogue.category_counts(usual) + 1) / (len(usual) + 1)
        self._taken: set[frozenset[str]] = set()

    def of(self, rows: Rows, typical_row: int) -> MixName:
        """By (n,) rows that belong to the mix; by its most typical item where categories say nothing, or not enough."""
        title = self._catalogue.titles[typical_row] or self._catalogue.item_ids[typical_row]
        categories = self._categories(rows)
        if not categories:
            return MixName(title, [])
        text = " & ".join(categories)
        if frozenset(categories) in self._taken:
            return MixName(f"{text}: {title}", categories)
        self._taken.add(frozenset(categories))
        return MixName(text, categories)

    def _categories(self, rows: Rows) -> list[str]:
        """Those of the largest share x ln(share / usual share); where none is above it, the commonest."""
        shares = self._catalogue.category_counts(rows)[: len(self._usual)] / max(len(rows), 1)
        shares[0] = 0  # none
        codes = np.flatnonzero(shares >= LEAST_SHARE)
        telling = shares[codes] * np.log(shares[codes] / self._usual[codes])
        order = np.lexsort((codes, -telling))
        named = codes[order][: max(int(np.count_nonzero(telling > 0)), 1)][:N_NAMED]
        return [self._catalogue.category_names[code] for code in named.tolist()]
