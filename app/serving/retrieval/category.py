"""The most popular items of the categories that the user likes most."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.serving.parts import Context, Source
from app.serving.rows import NO_ROWS, Rows
from app.serving.serving_state import ServingState
from app.serving.user_state import UserState

N_CATEGORIES, N_EACH = 3, 10

N_USUAL = 1_000
"""Most popular items, whose categories are what is usual."""

ALMOST_ALL = 0.95
"""Of the usual items: a category with a larger share tells nothing of an item."""

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
    return most_frequent(serving.catalogue.category_counts(user.liked_rows(serving.scorer.liked_from)))


def popular_categories(serving: ServingState) -> list[int]:
    """Codes of the categories of the most popular items, the most frequent first; ties by code."""
    return most_frequent(serving.catalogue.category_counts(serving.popular_rows[:N_TOP]))


def telling_categories(codes: Sequence[int], serving: ServingState) -> list[int]:
    """The codes without those of categories that nearly all popular items have."""
    usual = serving.popular_rows[:N_USUAL]
    counts = serving.catalogue.category_counts(usual)
    # Codes beyond the counts are of categories that the catalogue has learned since.
    return [code for code in codes if code >= len(counts) or counts[code] <= ALMOST_ALL * len(usual)]


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


def most_frequent(counts: NDArray[np.int64]) -> list[int]:
    """The codes of (n_categories,) `counts` that occur."""
    counts[:1] = 0  # code 0 stands for no category
    order = (-counts).argsort(kind="stable")
    frequent: list[int] = order[: np.count_nonzero(counts)].tolist()
    return frequent
