"""The most popular items of the categories that the user likes most."""

import numpy as np
from numpy.typing import NDArray

from app.serving.parts import Context, Source
from app.serving.rows import NO_ROWS, Rows
from app.serving.serving_state import ServingState
from app.serving.user_state import UserState

N_CATEGORIES, N_EACH = 3, 10

N_TOP = 200
"""Rows of a category that are tested for being eligible."""


class CategorySource(Source):
    name = "category"
    needs_snapshot = True

    def candidates(self, context: Context) -> Rows:
        codes = favourite_categories(context.user, context.serving)[:N_CATEGORIES]
        tops = [context.eligible.first(N_EACH, top_of_category(code, context.serving)) for code in codes]
        return np.concatenate(tops) if tops else NO_ROWS


def favourite_categories(user: UserState, serving: ServingState) -> list[int]:
    """Codes of the categories of liked items, the most frequent first; ties by code."""
    if not serving.n_learned:  # every list is by popularity alone
        return []
    return _most_frequent(serving.catalogue.category_counts(user.liked_rows(serving.scorer.liked_from)))


def popular_categories(serving: ServingState) -> list[int]:
    """Codes of the categories of the most popular items, the most frequent first; ties by code."""
    return _most_frequent(serving.catalogue.category_counts(serving.popular_rows[:N_TOP]))


def top_of_category(code: int, serving: ServingState) -> Rows:
    """Up to `N_TOP` rows of a category, the most popular first; those newer than the snapshot are not among them."""
    # Cached with the serving state: popularity changes with the snapshot, membership with the catalogue.
    version, rows = serving.tops.get(code, (-1, NO_ROWS))
    if version != serving.catalogue.version:
        version = serving.catalogue.version
        of_category = serving.catalogue.in_category(serving.catalogue.category_names[code])
        rows = serving.popular_rows[of_category[serving.popular_rows]][:N_TOP]
        serving.tops[code] = version, rows
    return rows


def _most_frequent(counts: NDArray[np.int64]) -> list[int]:
    """The codes of (n_categories,) `counts` that occur."""
    counts[:1] = 0  # code 0 stands for no category
    order = (-counts).argsort(kind="stable")
    frequent: list[int] = order[: np.count_nonzero(counts)].tolist()
    return frequent
