"""The most popular items of the categories that the user likes most."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from app.serving.context import Context
from app.serving.rows import NO_ROWS, Rows
from app.serving.serving_state import N_TOP, ServingState
from app.serving.user_state import UserState

N_CATEGORIES, N_EACH = 3, 10


class CategorySource:
    name: ClassVar[str] = "category"

    def candidates(self, context: Context) -> Rows:
        favourites = favourite_categories(context.user, context.serving)[:N_CATEGORIES]
        if not favourites:
            return NO_ROWS
        return np.concatenate(
            [context.eligible.first(N_EACH, context.serving.top_of_category(code)) for code in favourites]
        )


def favourite_categories(user: UserState, serving: ServingState) -> list[int]:
    """Codes of the categories of what was liked, the most frequent first; ties by code."""
    if serving.snapshot is None:
        return []
    return _most_frequent(serving.catalogue.category_counts(user.liked_rows(serving.snapshot.liked_from)))


def popular_categories(serving: ServingState) -> list[int]:
    """Codes of the categories of what is most popular, the most frequent first; ties by code."""
    return _most_frequent(serving.catalogue.category_counts(serving.popular_rows[:N_TOP]))


def _most_frequent(counts: NDArray[np.int64]) -> list[int]:
    """The codes of (n_categories,) `counts` that occur."""
    counts[:1] = 0  # code 0 is none
    order = (-counts).argsort(kind="stable")
    frequent: list[int] = order[: np.count_nonzero(counts)].tolist()
    return frequent
