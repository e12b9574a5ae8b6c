"""The name of a mix: the categories that it has more of than other lists, "Sci-Fi & Action"."""

from typing import NamedTuple

import numpy as np

from app.serving.rows import Rows
from app.serving.serving_state import ServingState

N_USUAL = 1_000
"""Most popular items, whose categories are what is usual."""

LEAST_SHARE = 0.3
"""Of the items of a mix: a category with a smaller share does not name it."""

N_NAMED = 2


class MixName(NamedTuple):
    text: str
    categories: list[str]


class MixNames:
    """Names the mixes of one answer; no two names are the same."""

    def __init__(self, serving: ServingState) -> None:
        self._catalogue = serving.catalogue
        usual = serving.popular_rows[:N_USUAL]
        # Add-one smoothing: a category that only new items have is rare, not impossible.
        self._usual = (serving.catalogue.category_counts(usual) + 1) / (len(usual) + 1)
        self._taken: set[frozenset[str]] = set()

    def of(self, rows: Rows, typical_row: int) -> MixName:
        """The name of a mix of `rows` (n,); after its most typical item where no category, or no other, names it."""
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
        """Those with the largest share x ln(share / usual share); only the first where none is above usual."""
        shares = self._catalogue.category_counts(rows)[: len(self._usual)] / max(len(rows), 1)
        shares[0] = 0  # code 0 stands for no category
        codes = np.flatnonzero(shares >= LEAST_SHARE)
        telling = shares[codes] * np.log(shares[codes] / self._usual[codes])
        order = np.lexsort((codes, -telling))
        named = codes[order][: max(int(np.count_nonzero(telling > 0)), 1)][:N_NAMED]
        return [self._catalogue.category_names[code] for code in named.tolist()]
